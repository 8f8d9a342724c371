//! CNI mode: the node redirects the connections of pods, so that no container of a pod needs a right for it.
//!
//! One program, in two roles. As a CNI plugin the container runtime calls it as root for each pod, before anything of
//! the pod runs; it asks the agent whether the pod is of the mesh, enters its network namespace, and installs there what
//! `weft-init` will verify. As the agent it runs once on each node, knows the API server, and keeps the plugin in the
//! runtime's chain of plugins.
//!
//! Architecture Invariant: the agent has no capability, and the plugin no token.
#![warn(missing_docs)]

// The program: which of the two is it?
pub mod command;
// The plugin: one call of a runtime, from its environment to its answer.
pub mod plugin;
// The agent: the life of the process.
pub mod agent;
// What both are told.
pub mod config;
// The agent keeps the plugin where the runtime looks,
pub mod keeper;
// helps pods that were made before it was there,
pub mod early;
// and answers the plugin:
pub mod serve;
// is this pod of the mesh?
pub mod decide;
// What it reads and deletes at the API server.
pub mod cluster;
// The files of the node that runtimes read,
pub mod folders;
// and lists of plugins, purely.
pub mod chain;
// What a runtime says, and what went wrong, in the words of CNI.
pub mod call;
// What the agent counts.
pub mod metrics;
// What plugin and agent say to one another.
pub mod question;
