//! Nicira's larger actions.

use flow::Field;
use openflow::{
    Action, BundleAlgorithm, HashFields, Learn, LearnSource, LearnSpec, LearnTarget, Multipath,
    MultipathAlgorithm, OfPort, PortBundle, Sample, SampleDirection, Subfield,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::actions::{FREE, subfield};
use super::ports::port;

fn learn_spec() -> impl Strategy<Value = LearnSpec> {
    (subfield(FREE), any::<(u8, u8, u128)>()).prop_map(|(part, (src, dst, value))| {
        let other = Subfield::new(Field::Xxreg0, 3, part.n_bits).unwrap();
        let dst = match dst % 3 {
            0 => LearnTarget::Match(part),
            1 => LearnTarget::Load(part),
            _ => LearnTarget::Output,
        };
        let src = match src % 2 {
            0 if dst != LearnTarget::Output => LearnSource::Immediate(value & part.max_value()),
            _ => LearnSource::Field(other),
        };
        LearnSpec { src, dst }
    })
}

fn learn() -> impl Strategy<Value = Action> {
    let numbers = any::<(u16, u16, u16, u64, u16, u16)>();
    let flags = any::<(bool, bool)>();
    let more = (0u8..255, 0u32..3, option::of(Just(Subfield::new(Field::Reg3, 7, 1).unwrap())));
    (numbers, flags, more, vec(learn_spec(), 0..5)).prop_map(|(numbers, flags, more, specs)| {
        Action::Learn(Box::new(Learn {
            idle_timeout: numbers.0,
            hard_timeout: numbers.1,
            priority: numbers.2,
            cookie: numbers.3,
            send_flow_rem: flags.0,
            delete_learned: flags.1,
            table_id: more.0,
            fin_idle_timeout: numbers.4,
            fin_hard_timeout: numbers.5,
            limit: more.1,
            result_dst: more.2,
            specs,
        }))
    })
}

fn multipath() -> impl Strategy<Value = Action> {
    let fields = prop::sample::select(HashFields::ALL);
    let algorithm = prop::sample::select(MultipathAlgorithm::ALL);
    (fields, algorithm, any::<(u16, u16, u32)>()).prop_map(|(fields, algorithm, numbers)| {
        let (basis, max_link, arg) = numbers;
        let dst = Subfield::new(Field::Reg2, 5, 16).unwrap();
        Action::Multipath(Box::new(Multipath { fields, basis, algorithm, max_link, arg, dst }))
    })
}

fn bundle() -> impl Strategy<Value = Action> {
    let fields = prop::sample::select(HashFields::ALL);
    let algorithm = prop::sample::select(BundleAlgorithm::ALL);
    let member = port().prop_filter("not a controller", |port| *port != OfPort::CONTROLLER);
    let dst = option::of(Just(Subfield::new(Field::Reg2, 5, 16).unwrap()));
    (fields, algorithm, any::<u16>(), vec(member, 0..6), dst).prop_map(
        |(fields, algorithm, basis, members, dst)| {
            Action::Bundle(Box::new(PortBundle { algorithm, fields, basis, members, dst }))
        },
    )
}

fn sample() -> impl Strategy<Value = Action> {
    let direction = prop::sample::select(vec![
        SampleDirection::Default,
        SampleDirection::Ingress,
        SampleDirection::Egress,
    ]);
    let sampling_port = option::of(port()).prop_map(|port| port.unwrap_or(OfPort::ANY));
    (1u16.., any::<(u32, u32, u32)>(), sampling_port, direction).prop_map(
        |(
            probability,
            (collector_set_id, obs_domain_id, obs_point_id),
            sampling_port,
            direction,
        )| {
            Action::Sample(Box::new(Sample {
                probability,
                collector_set_id,
                obs_domain_id,
                obs_point_id,
                sampling_port,
                direction,
            }))
        },
    )
}

/// Actions of all versions that need nothing of the packet.
pub(super) fn nicira_action() -> BoxedStrategy<Action> {
    let leaf = prop_oneof![
        learn(),
        sample(),
        multipath(),
        bundle(),
        (any::<u16>(), 0u8..32).prop_map(|(len, bit)| Action::CheckPktLarger {
            len,
            dst: Subfield::new(Field::Reg4, bit, 1).unwrap()
        }),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        vec(prop_oneof![inner, port().prop_map(Action::output)], 0..3).prop_map(Action::Clone)
    })
    .boxed()
}
