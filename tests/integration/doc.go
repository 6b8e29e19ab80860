// Package integration holds what hive makes against the tools that others use. Its
// tests build the Docker Compose CLI from its own module, which is why they are a
// module of their own: its dependencies must not reach the product's.
package integration
