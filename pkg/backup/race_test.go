//go:build race

package backup

// underRace: everything is slow.
const underRace = true
