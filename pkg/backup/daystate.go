package backup

import (
	"encoding/json"
	"errors"
	"io"
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

func (r *Repo) readRuns() (s runsState) {
	f, err := openRegular(r.root, runsFile)
	if err != nil {
		return runsState{}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSettings))
	if err != nil || json.Unmarshal(data, &s) != nil || s.Runs < 0 || s.Octets < 0 {
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

// writeRuns replaces the file. It need not be durable.
func (r *Repo) writeRuns(s runsState) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := r.beside(runsFile)
	if err != nil {
		return err
	}
	_, err = r.disk.writeAt(f, append(data, '\n'), 0)
	if err = errors.Join(err, f.Close()); err == nil {
		err = r.disk.rename(r.root, runsFile+newSuffix, runsFile)
	}
	if err != nil {
		_ = r.root.Remove(runsFile + newSuffix) // the next run does it if this fails
	}
	return err
}
