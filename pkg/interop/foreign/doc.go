// Package foreign runs the client libraries of others against the embedded server of package server. It is for tests
// only, and a module of its own: what it needs stays out of the toolkit's module graph.
package foreign
