//! Controller roles (OpenFlow 1.3.5 §6.3.4) and what a role hears of.

use openflow::{AsyncConfig, AsyncMasks, ControllerRole, OfErrorKind, Role};

/// The newest generation that a primary or secondary request named, for the whole switch.
#[derive(Debug, Default)]
pub(crate) struct Generation(Option<u64>);

impl Generation {
    /// Takes the generation of a request, or refuses it as older than one seen (§6.3.4: the
    /// distance is a signed 64-bit number).
    pub(crate) fn advance(&mut self, request: &Role) -> Result<(), OfErrorKind> {
        let Some(generation) = request.generation_id else {
            return Ok(());
        };
        if !matches!(request.role, ControllerRole::Primary | ControllerRole::Secondary) {
            return Ok(());
        }
        if let Some(seen) = self.0
            && generation.wrapping_sub(seen).cast_signed() < 0
        {
            return Err(OfErrorKind::RoleStale);
        }
        self.0 = Some(generation);
        Ok(())
    }

    pub(crate) fn get(&self) -> Option<u64> {
        self.0
    }
}

/// The part of the configuration that holds for `role`.
pub(crate) fn masks(config: &AsyncConfig, role: ControllerRole) -> &AsyncMasks {
    match role {
        ControllerRole::Secondary => &config.secondary,
        _ => &config.primary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow::Origin;

    fn request(role: ControllerRole, generation_id: u64) -> Role {
        Role { role, generation_id: Some(generation_id), origin: Origin::Standard }
    }

    #[test]
    fn an_older_generation_is_stale() {
        let mut generation = Generation::default();
        let mut ask = |role, id| generation.advance(&request(role, id));
        assert_eq!(ask(ControllerRole::Primary, 5), Ok(()));
        assert_eq!(ask(ControllerRole::Secondary, 4), Err(OfErrorKind::RoleStale));
        assert_eq!(ask(ControllerRole::Equal, 1), Ok(()), "equal has no generation");
        assert_eq!(ask(ControllerRole::Secondary, 5), Ok(()));
        assert_eq!(ask(ControllerRole::Primary, 5 + (1 << 62)), Ok(()));
        assert_eq!(ask(ControllerRole::Primary, 4), Err(OfErrorKind::RoleStale));
    }

    #[test]
    fn the_distance_wraps_around() {
        let mut generation = Generation::default();
        assert_eq!(generation.advance(&request(ControllerRole::Primary, u64::MAX)), Ok(()));
        assert_eq!(generation.advance(&request(ControllerRole::Primary, 1)), Ok(()));
        assert_eq!(generation.get(), Some(1));
    }
}
