package backup

import (
	"errors"
	"io"
	"slices"
)

// survey is what a look through a manifest has found.
type survey struct {
	end    int64      // where the lines end that count
	torn   int64      // octets after that, which a dead writer left
	snaps  []snapMark // that were not forgotten
	prunes []int64    // places of prune lines that are not done
	bad    []badLine  // the first ones
	damage *DamageError
}

// snapMark is a snapshot and the place where its line ends.
type snapMark struct {
	Snapshot
	end int64
}

// badLine is a damaged line.
type badLine struct {
	off, size int64
	reason    string
}

const maxBadLines = 10_000 // that are remembered

type surveyOptions struct {
	path  string // of the manifest
	size  int64
	dirty bool   // a run was not finished
	index *index // takes the lines in
}

// surveyManifest looks through a manifest. A last line without its end is torn. After
// a run that died, so is everything from the first bad line on that is behind the
// last snapshot: the run had not said that it is durable, and the next one finds the
// files. Any other bad line is damage.
func surveyManifest(f io.ReaderAt, o surveyOptions) (survey, error) {
	s := &surveyor{x: o.index}
	s.x.reserve(o.size)
	err := scanManifest(f, 0, o.size, s.line)
	var unknown *kindError
	if errors.As(err, &unknown) {
		return s.out, &VersionError{Path: o.path, What: unknown.Error()}
	}
	if err != nil || s.bad == 0 {
		return s.out, err
	}
	if first := s.out.bad[0].off; o.dirty && first >= s.lastSnap {
		s = &surveyor{x: o.index}
		*o.index = *newIndex(o.index.log)
		err = scanManifest(f, 0, first, s.line)
		s.out.torn = o.size - first
		return s.out, err
	}
	b := s.out.bad[0]
	s.out.damage = &DamageError{Path: o.path, Lines: s.bad, First: b.off, Reason: b.reason}
	return s.out, nil
}

// surveyor goes through the lines.
type surveyor struct {
	x        *index
	out      survey
	bad      int   // lines
	lastSnap int64 // where the last snapshot ends
}

// line takes in a line; bad says why it is not a good one.
func (s *surveyor) line(l rawLine, r *record, bad string) error {
	if l.torn && bad == "" {
		s.out.torn = l.size
		return nil
	}
	s.out.end = l.off + l.size
	if bad == "" {
		if err := s.x.apply(r, l.off); err != nil {
			bad = "it tells of a mailbox that no line before names"
		}
	}
	if bad != "" {
		if s.bad++; len(s.out.bad) < maxBadLines {
			s.out.bad = append(s.out.bad, badLine{l.off, l.size, bad})
		}
		return nil
	}
	switch r.kind {
	case kindSnap:
		s.lastSnap = s.out.end
		s.out.snaps = append(s.out.snaps, snapMark{r.snapshot(), s.out.end})
	case kindForget:
		s.out.snaps = slices.DeleteFunc(s.out.snaps, func(m snapMark) bool { return m.ID == string(r.id) })
	case kindPrune:
		s.out.prunes = append(s.out.prunes, l.off)
	case kindPruned:
		s.out.prunes = nil
	}
	return nil
}

// replay takes in the good lines from one place to another.
func (x *index) replay(f io.ReaderAt, from, to int64) error {
	return scanManifest(f, from, to, func(l rawLine, r *record, bad string) error {
		if r != nil {
			_ = x.apply(r, l.off) // the survey has told of what does not fit
		}
		return nil
	})
}

// scanManifest calls fn for each line from one place to another, with the record if
// it is good, and why if it is not. A torn last line has neither. An unknown kind is
// a *kindError.
func scanManifest(f io.ReaderAt, from, to int64, fn func(l rawLine, r *record, bad string) error) error {
	s := newLineScanner(f, from, to)
	var p lineReader
	for {
		l, err := s.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		r, bad, err := p.judge(l)
		if err == nil {
			err = fn(l, r, bad)
		}
		if err != nil {
			return err
		}
	}
}

// judge reads a line if it is a good one, and says why if it is not.
func (p *lineReader) judge(l rawLine) (r *record, bad string, err error) {
	switch {
	case l.torn && !wholeButEnd(l.text):
		return nil, "", nil
	case l.torn:
		return nil, "its line end is damaged", nil
	case l.text == nil:
		return nil, "it is too long", nil
	case !goodSum(l.text):
		return nil, "its checksum does not fit", nil
	}
	r, err = p.parse(l.text)
	if errors.Is(err, errLine) {
		return nil, err.Error(), nil
	}
	return r, "", err
}

// wholeButEnd reports whether a line without an end is not a part of a line, but a
// whole one with something else in the place of its end.
func wholeButEnd(line []byte) bool { return len(line) > 0 && goodSum(line[:len(line)-1]) }
