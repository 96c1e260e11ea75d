package backup

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
)

// recorder appends to the manifest. What it is told is in the index at once, and
// durable after commit; so it may be told only what is durable on disk itself. It
// belongs to one goroutine. After an error of the disk it does nothing any more:
// the repository has to be opened again, then it is as of the last commit or later.
type recorder struct {
	r   *Repo
	x   *index
	w   lineWriter
	err error
}

const (
	flushAt   = 256 << 10 // octets of lines that are written before they are committed
	maxUIDSet = 100 << 10 // octets of a set in one line
	maxUIDLs  = 1000      // in one line
)

// errTooLong says that a line would be too long to be read again.
var errTooLong = errors.New("the server tells more of it than the manifest can hold")

// errReadOnly and errOpenAgain say that a repository cannot be changed.
var (
	errReadOnly  = errors.New("the repository is open for reading only")
	errOpenAgain = errors.New("the repository has to be opened again after an error")
)

// record begins to append. A damaged manifest is a *DamageError.
func (r *Repo) record() (*recorder, error) {
	if !r.write {
		return nil, errReadOnly
	}
	if d := r.seen.damage; d != nil {
		return nil, d
	}
	if r.tip == nil {
		return nil, errOpenAgain
	}
	return &recorder{r: r, x: r.tip}, nil
}

// append writes lines with fill and takes them into the index.
func (c *recorder) append(fill func(w *lineWriter)) error {
	if c.err != nil {
		return c.err
	}
	x, log := c.x, c.x.log
	x.mu.Lock()
	defer x.mu.Unlock()
	start := len(log.pending)
	c.w.b = log.pending
	fill(&c.w)
	log.pending = c.w.b
	if err := c.take(start); err != nil {
		log.pending = log.pending[:start]
		return err
	}
	if len(log.pending) > flushAt {
		c.err = c.flush()
	}
	return c.err
}

// take takes the one line that begins at start into the index.
func (c *recorder) take(start int) error {
	log := c.x.log
	line := log.pending[start : len(log.pending)-1]
	if len(line) > maxLine {
		return errTooLong
	}
	rec, err := c.x.parser.parse(line)
	if err != nil {
		return fmt.Errorf("%w: %q", err, shorten(string(line)))
	}
	return c.x.apply(rec, log.size+int64(start))
}

// flush writes what is pending, without making it durable.
func (c *recorder) flush() error {
	log := c.x.log
	if len(log.pending) == 0 {
		return nil
	}
	if _, err := c.r.disk.writeAt(log.f, log.pending, log.size); err != nil {
		return err
	}
	log.size += int64(len(log.pending))
	log.pending = log.pending[:0]
	c.r.seen.end = log.size
	return nil
}

// commit makes all that was told so far durable.
func (c *recorder) commit() error {
	if c.err != nil {
		return c.err
	}
	c.x.mu.Lock()
	c.err = c.flush()
	c.x.mu.Unlock()
	if c.err == nil {
		c.err = c.r.disk.sync(c.r.log.f)
	}
	return c.err
}

// box tells of a mailbox that the server has, and returns its number. m.Dir is set:
// the folder that the mailbox has already, or a new one. Mailboxes that the server
// has no more must have been told before: they may leave their folder to another.
func (c *recorder) box(m *Mailbox) (box uint32, err error) {
	box, known, err := c.folder(m)
	if err == nil && len(m.Attrs) > maxStrings {
		err = errTooLong
	}
	if err != nil {
		return 0, err
	}
	if known {
		if info, _ := c.x.info(box); info.Present && sameMailbox(info.Mailbox, m) {
			return box, nil
		}
	}
	return box, c.append(func(w *lineWriter) { w.writeBox(box, m) })
}

// folder chooses the folder of a mailbox and its number.
func (c *recorder) folder(m *Mailbox) (box uint32, known bool, err error) {
	for _, delim := range [...]string{m.Delim, ""} {
		if m.Dir, err = EncodeName(m.Name, delim); err != nil {
			return 0, false, err
		}
		box, known = c.x.box(m.Dir)
		if !known {
			return c.x.next, false, nil
		}
		// Mailboxes with different delimiters may have the same levels.
		if info, _ := c.x.info(box); !info.Present || sameName(info.Mailbox, m) {
			return box, true, nil
		}
	}
	return 0, false, fmt.Errorf("the folder %q is that of another mailbox", shorten(m.Dir))
}

// sameName reports whether two mailboxes that have one folder are the same. The case
// of INBOX does not count.
func sameName(a, b *Mailbox) bool { return a.Name == b.Name || a.Delim == b.Delim }

func sameMailbox(a, b *Mailbox) bool {
	return a.Name == b.Name && a.Delim == b.Delim && slices.Equal(a.Attrs, b.Attrs) && a.Subscribed == b.Subscribed && a.ID == b.ID
}

// noBox tells that the server has a mailbox no more. What it held is known still,
// if it comes back.
func (c *recorder) noBox(box uint32) error {
	return c.append(func(w *lineWriter) {
		start := w.begin(kindNoBox)
		w.number("box", uint64(box))
		w.end(start)
	})
}

// msgs tells of messages that are stored. m.Flags is sorted and cleaned in place.
// errTooLong is of the message alone: the others before it were taken.
func (c *recorder) msgs(box uint32, msgs ...*Message) error {
	for _, m := range msgs {
		m.Flags = canonicalFlags(m.Flags)
		if len(m.Flags) > maxStrings || len(m.Labels) > maxStrings {
			return errTooLong
		}
		if err := c.append(func(w *lineWriter) { w.writeMsg(box, m) }); err != nil {
			return err
		}
	}
	return nil
}

// flags tells the flags and labels that a message has now; of m only what names it
// counts besides.
func (c *recorder) flags(box uint32, m *Message) error {
	m.Flags = canonicalFlags(m.Flags)
	if len(m.Flags) > maxStrings || len(m.Labels) > maxStrings {
		return errTooLong
	}
	return c.append(func(w *lineWriter) { w.writeFlags(box, m) })
}

// gone tells that the server has messages no more.
func (c *recorder) gone(box, uidValidity uint32, set imap.UIDSet) error {
	for _, part := range set.Split(maxUIDSet) {
		if err := c.append(func(w *lineWriter) { w.writeGone(box, uidValidity, part) }); err != nil {
			return err
		}
	}
	return nil
}

// goneUIDL is gone for POP3.
func (c *recorder) goneUIDL(box uint32, uidls ...string) error {
	for part := range slices.Chunk(uidls, maxUIDLs) {
		if err := c.append(func(w *lineWriter) { w.writeGoneUIDL(box, part) }); err != nil {
			return err
		}
	}
	return nil
}

// reset tells that the UIDs of a mailbox are others from here on. All its messages
// are gone.
func (c *recorder) reset(box, uidValidity uint32) error {
	return c.append(func(w *lineWriter) {
		start := w.begin(kindReset)
		w.number("box", uint64(box))
		w.number("v", uint64(uidValidity))
		w.end(start)
	})
}

// state tells that everything is stored that the server had at s.
func (c *recorder) state(box uint32, s boxState) error {
	if info, ok := c.x.info(box); ok {
		if s.Stored = true; info.State == s {
			return nil
		}
	}
	return c.append(func(w *lineWriter) {
		start := w.begin(kindState)
		w.number("box", uint64(box))
		w.number("v", uint64(s.UIDValidity))
		w.number("modseq", s.ModSeq)
		w.number("uidnext", uint64(s.UIDNext))
		w.number("messages", uint64(s.Messages))
		w.end(start)
	})
}

// snap ends a run. It gives s its ID, and counts what is present.
func (c *recorder) snap(s *Snapshot) error {
	id := s.Time.UTC().Format("2006-01-02T150405Z")
	s.ID = id
	for n := 2; slices.ContainsFunc(c.r.seen.snaps, func(m snapMark) bool { return m.ID == s.ID }); n++ {
		s.ID = fmt.Sprintf("%s-%d", id, n)
	}
	s.Time = s.Time.Truncate(time.Second)
	s.Mailboxes, s.Messages, s.Size = c.x.totals()
	if err := c.append(func(w *lineWriter) { w.writeSnap(s) }); err != nil {
		return err
	}
	log := c.x.log
	c.r.seen.snaps = append(c.r.seen.snaps, snapMark{*s, log.size + int64(len(log.pending))})
	return nil
}
