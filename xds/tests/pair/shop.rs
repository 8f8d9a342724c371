//! The catalog of the simulation: a few names of each kind, aliases that move, and a clock that can be set back.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use weft_xds::{Catalog, Kind, Version, publish::Resource, subscriber::IDENTITY};

/// What is published.
pub(crate) struct Shop {
    generation: u64,
    bodies: BTreeMap<(Kind, String), (u64, Bytes)>,
    /// Listener aliases and whose they are, whether or not that listener exists.
    owners: BTreeMap<String, String>,
    certificate: Option<(u64, Bytes)>,
}

/// A name and its kind.
pub(crate) type Name = (Kind, String);

impl Shop {
    pub(crate) fn new() -> Self {
        Self { generation: 1_000, bodies: BTreeMap::new(), owners: BTreeMap::new(), certificate: None }
    }

    /// Puts a resource in, or takes it out. Returns the names that may have changed.
    pub(crate) fn set(&mut self, name: Name, body: Option<Bytes>) -> Vec<Name> {
        self.generation += 1;
        let mut names = self.aliases(&name);
        match body {
            Some(body) => self.bodies.insert(name.clone(), (self.generation, body)),
            None => self.bodies.remove(&name),
        };
        names.push(name);
        names
    }

    /// Gives an alias to another listener. Returns the names that may have changed.
    pub(crate) fn move_alias(&mut self, alias: &str, owner: &str) -> Vec<Name> {
        self.generation += 1;
        let former = self.owners.insert(alias.to_owned(), owner.to_owned());
        let names = former.into_iter().chain([owner.to_owned(), alias.to_owned()]);
        names.map(|name| (Kind::Listener, name)).collect()
    }

    /// Makes a certificate, new each time.
    pub(crate) fn issue(&mut self, csr: &str) {
        self.generation += 1;
        self.certificate = Some((self.generation, certificate(csr)));
    }

    /// Starts anew: contents are read again, certificates are forgotten, and all is as old as the clock says.
    pub(crate) fn restart(&mut self, clock: u64) {
        self.generation = clock;
        self.certificate = None;
        for (generation, _) in self.bodies.values_mut() {
            *generation = clock;
        }
    }

    fn aliases(&self, (kind, name): &Name) -> Vec<Name> {
        let owned = self.owners.iter().filter(|(_, owner)| *kind == Kind::Listener && *owner == name);
        owned.map(|(alias, _)| (Kind::Listener, alias.clone())).collect()
    }
}

impl Catalog for Shop {
    fn get(&self, kind: Kind, name: &str) -> Option<Arc<Resource>> {
        let owner = self.owners.get(name).filter(|_| kind == Kind::Listener);
        let name = (kind, owner.map_or(name, String::as_str).to_owned());
        let found = if name == (Kind::Secret, IDENTITY.to_owned()) {
            self.certificate.as_ref()
        } else {
            self.bodies.get(&name)
        };
        let (generation, body) = found?;
        Some(Arc::new(Resource {
            aliases: self.aliases(&name).into_iter().map(|(_, alias)| alias).collect(),
            version: Version::of(*generation, body),
            body: body.clone(),
            name: name.1,
        }))
    }

    fn wildcard(&self, kind: Kind) -> Vec<String> {
        let names = self
            .bodies
            .keys()
            .filter(|(of, _)| *of == kind && matches!(kind, Kind::Listener | Kind::Cluster));
        names.map(|(_, name)| name.clone()).collect()
    }

    fn generation(&self) -> u64 {
        self.generation
    }
}

/// The certificate that answers a CSR.
pub(crate) fn certificate(csr: &str) -> Bytes {
    format!("certificate for {csr}").into()
}
