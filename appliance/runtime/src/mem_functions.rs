//! `memcpy`, `memmove`, `memset` and `memcmp`, in assembly.
//!
//! Written by hand because a compiler may turn a copy loop in Rust into a call of the very function
//! it implements. SSE2 only (every x86-64 CPU has it), 16 bytes a step, 64 in the main loop, ends
//! handled by overlapping accesses rather than byte loops. No `rep movs`: for frame-sized copies it
//! is no faster on hardware and many times slower under emulation.
//!
//! `memcpy` is `memmove`: direction is decided by one compare, and short copies load everything
//! before they store anything. The image's linker script gives these their C names.

core::arch::global_asm!(
    r#"
.section .text.runtime_memcpy, "ax", @progbits
.balign 64
.global runtime_memcpy
.hidden runtime_memcpy
.type runtime_memcpy, @function
runtime_memcpy:
    movq %rdi, %rax
    cmpq $16, %rdx
    jb 10f
    cmpq $32, %rdx
    ja 2f
    movdqu (%rsi), %xmm0
    movdqu -16(%rsi,%rdx), %xmm1
    movdqu %xmm0, (%rdi)
    movdqu %xmm1, -16(%rdi,%rdx)
    ret
2:  cmpq $64, %rdx
    ja 3f
    movdqu (%rsi), %xmm0
    movdqu 16(%rsi), %xmm1
    movdqu -32(%rsi,%rdx), %xmm2
    movdqu -16(%rsi,%rdx), %xmm3
    movdqu %xmm0, (%rdi)
    movdqu %xmm1, 16(%rdi)
    movdqu %xmm2, -32(%rdi,%rdx)
    movdqu %xmm3, -16(%rdi,%rdx)
    ret
3:  movq %rdi, %rcx
    subq %rsi, %rcx
    cmpq %rdx, %rcx
    jb 6f
    # Forward. The last 64 bytes are loaded first: the loop may overwrite their source.
    movdqu -64(%rsi,%rdx), %xmm4
    movdqu -48(%rsi,%rdx), %xmm5
    movdqu -32(%rsi,%rdx), %xmm6
    movdqu -16(%rsi,%rdx), %xmm7
    leaq -64(%rdi,%rdx), %rcx
4:  movdqu (%rsi), %xmm0
    movdqu 16(%rsi), %xmm1
    movdqu 32(%rsi), %xmm2
    movdqu 48(%rsi), %xmm3
    movdqu %xmm0, (%rdi)
    movdqu %xmm1, 16(%rdi)
    movdqu %xmm2, 32(%rdi)
    movdqu %xmm3, 48(%rdi)
    addq $64, %rsi
    addq $64, %rdi
    cmpq %rcx, %rdi
    jb 4b
    movdqu %xmm4, (%rcx)
    movdqu %xmm5, 16(%rcx)
    movdqu %xmm6, 32(%rcx)
    movdqu %xmm7, 48(%rcx)
    ret
    # Backward, for a destination inside the source's bytes. The first 64 are loaded first.
6:  movdqu (%rsi), %xmm4
    movdqu 16(%rsi), %xmm5
    movdqu 32(%rsi), %xmm6
    movdqu 48(%rsi), %xmm7
7:  movdqu -16(%rsi,%rdx), %xmm0
    movdqu -32(%rsi,%rdx), %xmm1
    movdqu -48(%rsi,%rdx), %xmm2
    movdqu -64(%rsi,%rdx), %xmm3
    movdqu %xmm0, -16(%rdi,%rdx)
    movdqu %xmm1, -32(%rdi,%rdx)
    movdqu %xmm2, -48(%rdi,%rdx)
    movdqu %xmm3, -64(%rdi,%rdx)
    subq $64, %rdx
    cmpq $64, %rdx
    ja 7b
    movdqu %xmm4, (%rdi)
    movdqu %xmm5, 16(%rdi)
    movdqu %xmm6, 32(%rdi)
    movdqu %xmm7, 48(%rdi)
    ret
    # Less than 16 bytes.
10: cmpq $8, %rdx
    jb 11f
    movq (%rsi), %rcx
    movq -8(%rsi,%rdx), %r8
    movq %rcx, (%rdi)
    movq %r8, -8(%rdi,%rdx)
    ret
11: cmpq $4, %rdx
    jb 12f
    movl (%rsi), %ecx
    movl -4(%rsi,%rdx), %r8d
    movl %ecx, (%rdi)
    movl %r8d, -4(%rdi,%rdx)
    ret
12: testq %rdx, %rdx
    je 13f
    # One to three bytes: first, middle and last, which coincide where they must.
    movq %rdx, %r10
    shrq $1, %r10
    movzbl (%rsi), %ecx
    movzbl (%rsi,%r10), %r9d
    movzbl -1(%rsi,%rdx), %r8d
    movb %cl, (%rdi)
    movb %r9b, (%rdi,%r10)
    movb %r8b, -1(%rdi,%rdx)
13: ret

.section .text.runtime_memset, "ax", @progbits
.balign 64
.global runtime_memset
.hidden runtime_memset
.type runtime_memset, @function
runtime_memset:
    movq %rdi, %rax
    movzbl %sil, %ecx
    movabsq $0x0101010101010101, %r8
    imulq %r8, %rcx
    cmpq $16, %rdx
    jb 10f
    movq %rcx, %xmm0
    punpcklqdq %xmm0, %xmm0
    movdqu %xmm0, (%rdi)
    movdqu %xmm0, -16(%rdi,%rdx)
    cmpq $32, %rdx
    jbe 13f
    movdqu %xmm0, 16(%rdi)
    movdqu %xmm0, -32(%rdi,%rdx)
    cmpq $64, %rdx
    jbe 13f
    leaq -64(%rdi,%rdx), %rcx
4:  movdqu %xmm0, (%rdi)
    movdqu %xmm0, 16(%rdi)
    movdqu %xmm0, 32(%rdi)
    movdqu %xmm0, 48(%rdi)
    addq $64, %rdi
    cmpq %rcx, %rdi
    jb 4b
    movdqu %xmm0, (%rcx)
    movdqu %xmm0, 16(%rcx)
    ret
10: cmpq $8, %rdx
    jb 11f
    movq %rcx, (%rdi)
    movq %rcx, -8(%rdi,%rdx)
    ret
11: cmpq $4, %rdx
    jb 12f
    movl %ecx, (%rdi)
    movl %ecx, -4(%rdi,%rdx)
    ret
12: testq %rdx, %rdx
    je 13f
    movq %rdx, %r10
    shrq $1, %r10
    movb %cl, (%rdi)
    movb %cl, (%rdi,%r10)
    movb %cl, -1(%rdi,%rdx)
13: ret

.section .text.runtime_memcmp, "ax", @progbits
.balign 64
.global runtime_memcmp
.hidden runtime_memcmp
.type runtime_memcmp, @function
runtime_memcmp:
    cmpq $16, %rdx
    jb 10f
    # rcx counts up; the last step overlaps the one before it.
    leaq -16(%rdx), %r9
    xorl %ecx, %ecx
2:  cmpq %r9, %rcx
    cmovaq %r9, %rcx
    movdqu (%rdi,%rcx), %xmm0
    movdqu (%rsi,%rcx), %xmm1
    pcmpeqb %xmm1, %xmm0
    pmovmskb %xmm0, %eax
    xorl $0xffff, %eax
    jne 3f
    cmpq %r9, %rcx
    je 9f
    addq $16, %rcx
    jmp 2b
3:  bsfl %eax, %eax
    addq %rax, %rcx
    movzbl (%rdi,%rcx), %eax
    movzbl (%rsi,%rcx), %edx
    subl %edx, %eax
    ret
9:  xorl %eax, %eax
    ret
10: cmpq $8, %rdx
    jb 11f
    movq (%rdi), %rax
    movq (%rsi), %rcx
    cmpq %rcx, %rax
    jne 4f
    movq -8(%rdi,%rdx), %rax
    movq -8(%rsi,%rdx), %rcx
    cmpq %rcx, %rax
    je 9b
4:  bswapq %rax
    bswapq %rcx
    cmpq %rcx, %rax
    sbbl %eax, %eax
    orl $1, %eax
    ret
11: xorl %ecx, %ecx
12: cmpq %rdx, %rcx
    je 9b
    movzbl (%rdi,%rcx), %eax
    movzbl (%rsi,%rcx), %r8d
    incq %rcx
    subl %r8d, %eax
    je 12b
    ret

# Precompiled code names what unwinding would need; nothing here unwinds.
.section .text.runtime_never_unwinds, "ax", @progbits
.global runtime_never_unwinds
.hidden runtime_never_unwinds
.type runtime_never_unwinds, @function
runtime_never_unwinds:
    ud2
"#,
    options(att_syntax)
);

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    unsafe extern "C" {
        fn runtime_memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
        fn runtime_memset(to: *mut u8, value: i32, len: usize) -> *mut u8;
        fn runtime_memcmp(left: *const u8, right: *const u8, len: usize) -> i32;
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
    }

    #[test]
    fn moves_like_copy_within_at_every_length_and_overlap() {
        for len in (0..200).chain([255, 256, 257, 1000]) {
            for from in [0, 1, 15, 64, 70, 150] {
                for to in [0, 1, 15, 64, 70, 150] {
                    let mut expected = pattern(1200);
                    let mut actual = expected.clone();
                    expected.copy_within(from..from + len, to);
                    let base = actual.as_mut_ptr();
                    // SAFETY: `from` and `to` plus `len` stay inside the vector.
                    let source = unsafe { base.add(from) };
                    // SAFETY: as above.
                    let target = unsafe { base.add(to) };
                    // SAFETY: both ranges are inside the vector; overlap is what is tested.
                    let returned = unsafe { runtime_memcpy(target, source, len) };
                    assert_eq!(returned, target);
                    assert_eq!(actual, expected, "len {len} from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn fills_exactly_the_range() {
        for len in 0..300 {
            let mut expected = pattern(400);
            let mut actual = expected.clone();
            expected[5..5 + len].fill(0xa5);
            let target = actual[5..].as_mut_ptr();
            // SAFETY: the range is inside the vector.
            let returned = unsafe { runtime_memset(target, 0x1a5, len) };
            assert_eq!(returned, target);
            assert_eq!(actual, expected, "len {len}");
        }
    }

    #[test]
    fn compares_like_slices_wherever_they_differ() {
        for len in 0..100 {
            let left = pattern(len);
            for differs_at in 0..=len {
                for change in [0x01_u8, 0x80] {
                    let mut right = left.clone();
                    if let Some(byte) = right.get_mut(differs_at) {
                        *byte = byte.wrapping_add(change);
                    }
                    // SAFETY: both vectors have `len` bytes.
                    let sign = unsafe { runtime_memcmp(left.as_ptr(), right.as_ptr(), len) };
                    assert_eq!(sign.cmp(&0), left.cmp(&right), "len {len} at {differs_at}");
                }
            }
        }
    }
}
