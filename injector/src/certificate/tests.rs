// An API server that holds the injector's objects.
mod cluster_double;
// What is kept there and announced.
mod sharing;
// Certificates replaced under reviews.
mod rotation;
// Certificates of somebody else's.
mod files;
