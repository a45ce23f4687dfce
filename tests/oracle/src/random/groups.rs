//! Random groups and meters.

use openflow::{
    Action, BandKind, Bucket, GROUP_ANY, GroupMod, GroupModCommand, GroupType, MeterBand,
    MeterConfig, MeterFlags, MeterMod, MeterModCommand, OfPort, Selection, SelectionMethod,
};

use flow::Field;

use super::rules::mac;
use super::{Rng, RuleOptions, World};

impl World {
    /// Messages that add groups 1 to `n_groups` and meters 1 to `n_meters`.
    pub fn groups(&self, rng: &mut Rng, options: &RuleOptions) -> (Vec<GroupMod>, Vec<MeterMod>) {
        let groups = (1..=options.n_groups)
            .map(|id| self.group(rng, options, id, GroupModCommand::Add))
            .collect();
        let meters =
            (1..=options.n_meters).map(|id| self.meter(rng, id, MeterModCommand::Add)).collect();
        (groups, meters)
    }

    /// A group, which leads to those of lower numbers and watches them.
    pub fn group(
        &self,
        rng: &mut Rng,
        options: &RuleOptions,
        group_id: u32,
        command: GroupModCommand,
    ) -> GroupMod {
        let kinds = [
            GroupType::All,
            GroupType::Indirect,
            GroupType::FastFailover,
            GroupType::FastFailover,
            GroupType::Select,
            GroupType::Select,
        ];
        let n_kinds = if options.selects { kinds.len() } else { 4 };
        let group_type = kinds[rng.below(n_kinds)];
        let n = match group_type {
            GroupType::Indirect => 1,
            _ => rng.pick(&[1, 2, 3, 3, 4]),
        };
        let buckets =
            (0..n).map(|id| self.bucket(rng, options, group_id, group_type, id)).collect();
        let selection = if group_type == GroupType::Select {
            self.selection(rng)
        } else {
            Selection::default()
        };
        let command_bucket_id = openflow::BUCKET_ALL;
        GroupMod { command, group_type, group_id, command_bucket_id, buckets, selection }
    }

    fn selection(&self, rng: &mut Rng) -> Selection {
        match rng.below(3) {
            0 => Selection::default(),
            1 => Selection { method: SelectionMethod::DpHash, param: 0, fields: Vec::new() },
            _ => {
                let all = [Field::EthSrc, Field::EthDst, Field::VlanVid];
                let fields = all.into_iter().filter(|_| rng.one_in(2));
                let fields = fields.map(|field| (field, field.ones())).collect();
                Selection { method: SelectionMethod::Hash, param: rng.next_u64(), fields }
            }
        }
    }

    fn bucket(
        &self,
        rng: &mut Rng,
        options: &RuleOptions,
        group: u32,
        group_type: GroupType,
        id: u32,
    ) -> Bucket {
        let mut actions = Vec::new();
        if rng.one_in(3) {
            let field = rng.pick(&[Field::EthSrc, Field::EthDst]);
            actions.push(Action::set_field(field, mac(rng.pick(&self.macs))));
        }
        if group > 1 && rng.one_in(4) {
            actions.push(Action::Group(1 + rng.below(group as usize - 1) as u32));
        } else if !rng.one_in(8) {
            actions.push(self.output_to(rng, options));
        }
        let mut bucket = Bucket::new(id, actions);
        if group_type == GroupType::Select {
            bucket.weight = rng.pick(&[1, 1, 2, 5]);
        }
        let may_watch = matches!(group_type, GroupType::Select | GroupType::FastFailover);
        let must_watch = group_type == GroupType::FastFailover;
        if must_watch || may_watch && rng.one_in(2) {
            bucket.watch_port = self.port(rng);
            if group > 1 && rng.one_in(4) {
                bucket.watch_group = 1 + rng.below(group as usize - 1) as u32;
                bucket.watch_port = if rng.one_in(2) { OfPort::ANY } else { bucket.watch_port };
            }
        }
        debug_assert!(may_watch || bucket.watch_group == GROUP_ANY);
        bucket
    }

    /// A meter that lets some packets through and not all.
    pub fn meter(&self, rng: &mut Rng, meter_id: u32, command: MeterModCommand) -> MeterMod {
        let unit = if rng.one_in(2) { MeterFlags::PKTPS } else { MeterFlags::KBPS };
        let flags = if rng.one_in(2) { unit | MeterFlags::BURST } else { unit };
        let bands = (0..1 + rng.below(2)).map(|_| MeterBand {
            kind: if rng.one_in(3) {
                BandKind::DscpRemark(1 + rng.below(2) as u8)
            } else {
                BandKind::Drop
            },
            rate: rng.pick(&[1, 10, 500, 20_000]),
            burst_size: rng.pick(&[1, 3, 50]),
        });
        MeterMod { command, config: MeterConfig { flags, meter_id, bands: bands.collect() } }
    }
}
