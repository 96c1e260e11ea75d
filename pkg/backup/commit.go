package backup

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"sync"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/store"
)

// A batch is made durable when it holds so much, or is so old. While that goes on,
// the next one grows to a bound: on a slow disk batches are larger.
const (
	batchOctets   = 64 << 20
	batchMessages = 2000
	batchAge      = 2 * time.Second

	maxOctets   = 2 * batchOctets // staged and not recorded
	maxMessages = 4 * batchMessages
)

// itemKind is what an item tells the committer.
type itemKind uint8

const (
	itemMsg   itemKind = iota // a message
	itemFlags                 // a message has other flags or labels
	itemGone                  // messages are off the server
	itemReset                 // another UIDVALIDITY
	itemState                 // all is stored that the server had
	itemSync                  // all before it is to be recorded now
)

// item is something to be recorded.
type item struct {
	kind   itemKind
	box    *boxRun
	msg    *Message      // itemMsg; itemFlags: with the new flags
	staged *store.Staged // itemMsg: its file
	link   string        // itemMsg, in place of staged: a file with the same octets
	old    []string      // itemFlags: the flags before
	uids   imap.UIDSet   // itemGone
	uidls  []string      // itemGone
	state  boxState      // itemState; itemReset and itemGone: UIDVALIDITY
	synced chan struct{} // itemSync: closed then
}

// committer records items in their order: it makes the files of many durable
// together, gives them their names, makes these durable, and then writes the lines.
// One goroutine runs it.
type committer struct {
	r      *Repo
	rec    *recorder
	index  *index
	tree   *store.Tree
	dirs   []string             // folders to be made
	done   func(*item)          // called for each item that is recorded
	lost   func(*item, error)   // called for each that cannot be
	warn   func(string, ...any) // tells the user
	failed func(error)          // tells the run that nothing can be recorded any more

	mu     sync.Mutex
	room   *sync.Cond // for those who push
	more   *sync.Cond // for the committer
	queue  []item
	octets int64 // staged, of queue and of what is being recorded
	count  int   // items, the same
	ended  bool
	err    error
	since  time.Time // when the oldest of queue came
	timer  *time.Timer
}

func newCommitter(r *Repo, rec *recorder, x *index, tree *store.Tree) *committer {
	c := &committer{r: r, rec: rec, index: x, tree: tree}
	c.room, c.more = sync.NewCond(&c.mu), sync.NewCond(&c.mu)
	c.timer = time.AfterFunc(time.Hour, c.more.Signal)
	c.timer.Stop()
	return c
}

// push hands an item over. It waits while there is too much that is not recorded.
// After an error of the committer that is returned, and the item is dropped.
func (c *committer) push(it item) error {
	var size int64
	if it.staged != nil {
		size = it.staged.Size
	}
	c.mu.Lock()
	for c.err == nil && (c.octets+size > maxOctets && c.octets > 0 || c.count >= maxMessages) {
		c.room.Wait()
	}
	err := c.err
	if err == nil {
		if len(c.queue) == 0 {
			c.since = time.Now()
			c.timer.Reset(batchAge)
		}
		c.queue = append(c.queue, it)
		c.octets += size
		c.count++
		if c.full() {
			c.more.Signal()
		}
	}
	c.mu.Unlock()
	if err != nil && it.staged != nil {
		_ = c.tree.Discard(it.staged) // the next run would do it
	}
	return err
}

// full tells if it is time to commit. The octets of a batch under way count, so that
// the next one begins as soon as it can.
func (c *committer) full() bool {
	return len(c.queue) > 0 && (c.queue[len(c.queue)-1].kind == itemSync || c.octets >= batchOctets || c.count >= batchMessages || time.Since(c.since) >= batchAge)
}

// end lets run return when everything is recorded.
func (c *committer) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.more.Signal()
}

// run records until end is called, or until something fails: its error is that of
// push from then on.
func (c *committer) run(ctx context.Context) error {
	defer c.timer.Stop()
	for _, dir := range c.dirs {
		if err := c.folder(dir); err != nil {
			return c.fail(err)
		}
	}
	for {
		c.mu.Lock()
		for !c.full() && !c.ended {
			c.more.Wait()
		}
		batch := c.queue
		c.queue = nil
		c.mu.Unlock()
		if len(batch) == 0 {
			if err := c.tree.Publish(ctx, nil); err != nil { // what was made and renamed since
				return c.fail(err)
			}
			return nil
		}
		err := c.commit(ctx, batch)
		c.mu.Lock()
		for i := range batch {
			if s := batch[i].staged; s != nil {
				c.octets -= s.Size
			}
		}
		c.count -= len(batch)
		c.mu.Unlock()
		if err != nil {
			return c.fail(err)
		}
		c.room.Broadcast()
	}
}

// fail makes err that of push, and removes what was staged and cannot be recorded.
func (c *committer) fail(err error) error {
	c.failed(err)
	c.mu.Lock()
	queue := c.queue
	c.queue, c.err = nil, err
	c.mu.Unlock()
	c.room.Broadcast()
	for i := range queue {
		if s := queue[i].staged; s != nil {
			_ = c.tree.Discard(s) // else the next run does it
		}
		if queue[i].synced != nil {
			close(queue[i].synced)
		}
	}
	return err
}

// commit makes a batch durable and records it.
func (c *committer) commit(ctx context.Context, batch []item) error {
	defer func() {
		for i := range batch {
			if batch[i].synced != nil {
				close(batch[i].synced)
			}
		}
	}()
	places, err := c.places(batch)
	if err != nil {
		return err
	}
	if c.r.settings.Format == FormatMbox {
		err = c.appendAll(ctx, places)
		places = nil
	}
	if err == nil {
		err = c.tree.Publish(ctx, places)
	}
	if err != nil {
		return err
	}
	for i := range batch {
		err := c.record(&batch[i])
		if errors.Is(err, errTooLong) {
			c.lost(&batch[i], err)
			batch[i].kind = itemSync
		} else if err != nil {
			return err
		}
	}
	if err := c.rec.commit(); err != nil {
		return err
	}
	for i := range batch {
		if batch[i].kind == itemFlags {
			c.rename(&batch[i])
		}
		c.done(&batch[i])
	}
	return nil
}

// places says which file each message gets. What is stored already, or comes twice
// in a batch, becomes a link.
func (c *committer) places(batch []item) ([]store.Placement, error) {
	places := make([]store.Placement, 0, len(batch))
	here := map[store.Digest]string{}
	for i := range batch {
		it := &batch[i]
		if it.kind != itemMsg || it.staged == nil && it.link == "" {
			continue
		}
		if it.staged != nil && c.r.settings.Format != FormatMbox {
			if err := c.dedupe(it, here); err != nil {
				return nil, err
			}
		}
		if it.link != "" {
			there, err := c.there(it)
			if err != nil {
				return nil, err
			}
			if there {
				it.link = ""
				continue
			}
		}
		places = append(places, store.Placement{Staged: it.staged, LinkOf: it.link, Dir: it.box.m.Dir, Name: c.r.diskName(it.msg)})
	}
	return places, nil
}

// there tells if a message that is to be a link has its file already: the manifest has
// lost it, or the UIDVALIDITY is the old one again. What else has the name is put aside.
func (c *committer) there(it *item) (bool, error) {
	name := path.Join(c.r.fileDir(it.box.m), c.r.diskName(it.msg))
	if _, _, err := c.r.stat(name); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	digest, _, err := c.r.digestOf(name)
	if err == nil && digest == it.msg.Digest {
		return true, nil
	}
	_, err = c.r.putAside(name, it.msg.File)
	return false, err
}

// dedupe makes an item a link if its file is there, or comes earlier in the batch.
func (c *committer) dedupe(it *item, here map[store.Digest]string) error {
	same, ok := here[it.staged.Digest]
	if !ok {
		m, stored, err := c.index.digest(it.staged.Digest)
		if err != nil {
			return err
		}
		if stored {
			same, ok = c.r.intact(m)
		}
	}
	if !ok {
		here[it.staged.Digest] = path.Join(c.r.fileDir(it.box.m), c.r.diskName(it.msg))
		return nil
	}
	c.release(it.staged)
	err := c.tree.Discard(it.staged)
	it.staged, it.link = nil, same
	return err
}

// intact finds the file of a message, if it is there and still what it was. Otherwise
// what has just come is better.
func (r *Repo) intact(m *Message) (string, bool) {
	file, err := r.locate(m)
	if err != nil {
		return "", false
	}
	digest, _, err := r.digestOf(file)
	return file, err == nil && digest == m.Digest
}

// release gives back the room of a staged message.
func (c *committer) release(s *store.Staged) {
	c.mu.Lock()
	c.octets -= s.Size
	c.mu.Unlock()
}

// record writes the line of an item.
func (c *committer) record(it *item) error {
	switch it.kind {
	case itemMsg:
		if it.msg.UID != 0 {
			c.checkReused(it)
		}
		return c.rec.msgs(it.box.id, it.msg)
	case itemFlags:
		return c.rec.flags(it.box.id, it.msg)
	case itemGone:
		if len(it.uidls) > 0 {
			return c.rec.goneUIDL(it.box.id, it.uidls...)
		}
		return c.rec.gone(it.box.id, it.state.UIDValidity, it.uids)
	case itemReset:
		return c.rec.reset(it.box.id, it.state.UIDValidity)
	case itemState:
		return c.rec.state(it.box.id, it.state)
	}
	return nil
}

// checkReused warns of a UID that is another message's than it was.
func (c *committer) checkReused(it *item) {
	i, ok := c.index.uid(it.box.id, it.msg.UID)
	if !ok {
		return
	}
	if old, err := c.index.message(i); err == nil && old.Digest != it.msg.Digest && old.UIDValidity == it.msg.UIDValidity {
		c.warn("%s: UID %d is another message than before: both are kept", it.box.m.Name, it.msg.UID)
	}
}

// rename gives a file the letters of its flags. The manifest has them already, so
// that a failure loses nothing.
func (c *committer) rename(it *item) {
	if c.r.settings.Format != FormatMaildir {
		return
	}
	from, to := it.msg.File+infoMark+infoLetters(it.old), it.msg.File+infoMark+infoLetters(it.msg.Flags)
	if from == to {
		return
	}
	dir := it.box.m.Dir
	if err := c.tree.Rename(dir, from, to); errors.Is(err, fs.ErrNotExist) {
		if now, err := c.r.locate(it.msg); err == nil && path.Base(now) != to {
			_ = c.tree.Rename(dir, path.Base(now), to)
		}
	}
}

// fileDir is the directory of the files of a mailbox, or its mbox, with slashes.
func (r *Repo) fileDir(m *Mailbox) string { return path.Join(m.Dir, r.subs()[0]) }

// diskName is the name that the file of a message gets.
func (r *Repo) diskName(m *Message) string {
	if r.settings.Format == FormatMaildir {
		return m.File + infoMark + infoLetters(m.Flags)
	}
	return m.File
}
