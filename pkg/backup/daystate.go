package backup

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"
)

// runsFile holds what runs tell the later ones.
const runsFile = metaDir + "/runs.json"

// fullEvery is how often all flags and UIDs are compared whatever the server says
// has changed.
const fullEvery = 10

// runsState is what the file holds. One that is missing or cannot be read is none:
// it is no part of the backup.
type runsState struct {
	Runs   int    `json:"runs"`   // since the last full one
	Day    string `json:"day"`    // of Octets, in local time
	Octets int64  `json:"octets"` // that came on that day
}

func readRuns(root *os.Root) (s runsState) {
	data, err := root.ReadFile(runsFile)
	if err != nil || len(data) > 4096 || json.Unmarshal(data, &s) != nil || s.Octets < 0 {
		return runsState{}
	}
	return s
}

// today begins a new day's account if it is another day.
func (s *runsState) today(now time.Time) {
	if day := now.Format(time.DateOnly); s.Day != day {
		s.Day, s.Octets = day, 0
	}
}

// write replaces the file.
func (s *runsState) write(root *os.Root) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	temp := runsFile + newSuffix
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := root.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return root.Rename(temp, runsFile)
}
