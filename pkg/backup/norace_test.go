//go:build !race

package backup

const underRace = false
