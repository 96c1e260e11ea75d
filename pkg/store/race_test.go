//go:build race

package store

// underRace: the race detector makes pools forget, and everything slow.
const underRace = true
