//! The tuple-space explosion: packets that make a switch remember ever other masks.
//!
//! The construction is that of Csikor, Divakaran, Kang, Kőrösi, Sonkoly, Haja, Pezaros, Schmid and Rétvári,
//! "Tuple Space Explosion: A Denial-of-Service Attack Against a Software Packet Classifier" (CoNEXT 2019):
//! against a list of rules that each allow one value of one field, and a default that denies, a packet
//! for each combination of one inverted bit in every field. To tell such a packet from the allowed value a
//! switch must look at the bits down to the inverted one, and so at another mask for each combination:
//! the widths of the fields multiplied.

use flow::{Field, Flow};

/// The packets against a list that allows these values of these fields: `base` with each field as
/// allowed but for one bit, in all combinations.
#[must_use]
pub fn explosion(base: &Flow, allowed: &[(Field, u128)]) -> Vec<Flow> {
    let mut packets = vec![*base];
    for &(field, value) in allowed {
        let inverted = (0..field.spec().n_bits).map(|bit| value ^ 1 << bit);
        packets = (packets.iter())
            .flat_map(|packet| {
                inverted.clone().map(|value| {
                    let mut packet = *packet;
                    packet.set(field, value);
                    packet
                })
            })
            .collect();
    }
    packets
}
