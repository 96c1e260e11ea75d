package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/mail-toolkit/mail/pkg/store"
)

// folder makes the folder of a mailbox unless it is there, and its mbox if it is to
// have one. It is durable after the next Publish.
func (c *committer) folder(dir string) error {
	if err := c.tree.Folder(dir); err != nil || c.r.settings.Format != FormatMbox {
		return err
	}
	f, err := c.r.disk.create(c.r.root, path.Join(dir, mboxFile))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), c.r.syncDir(dir))
}

// mboxTail is an mbox that is appended to.
type mboxTail struct {
	f        *os.File
	old, end int64           // octets, before and now
	names    map[string]bool // of what was appended
}

// appendAll durably appends messages to their mboxes. After an error none of them is
// there. It uses up what is staged.
func (c *committer) appendAll(ctx context.Context, places []store.Placement) (err error) {
	tails := map[string]*mboxTail{}
	for i := range places {
		if err = ctx.Err(); err == nil {
			err = c.append(tails, &places[i])
		}
		if err != nil {
			break
		}
	}
	for _, t := range tails {
		if err == nil {
			err = c.r.disk.sync(t.f)
		}
	}
	for _, t := range tails {
		if err != nil {
			err = errors.Join(err, c.r.disk.truncate(t.f, t.old)) // else the next run cuts it
		}
		err = errors.Join(err, t.f.Close())
	}
	for i := range places {
		if s := places[i].Staged; s != nil {
			err = errors.Join(err, c.tree.Discard(s))
		}
	}
	return err
}

// append appends a message to its mbox, unless it is there.
func (c *committer) append(tails map[string]*mboxTail, p *store.Placement) error {
	t := tails[p.Dir]
	if t == nil {
		var err error
		if t, err = c.openTail(p.Dir); err != nil {
			return err
		}
		tails[p.Dir] = t
	}
	if there, err := c.stands(p); there || t.names[p.Name] || err != nil {
		return err
	}
	t.names[p.Name] = true
	from, err := c.source(p)
	if err != nil {
		return err
	}
	defer from.Close()
	facts, _ := parseFileName(p.Name)
	w := &diskWriter{r: c.r, f: t.f, at: t.end}
	out := bufio.NewWriterSize(w, mboxBuffer)
	in := &lastOctet{r: from}
	_, err = out.WriteString(mboxLine(p.Name, facts))
	if err == nil {
		err = store.QuoteMbox(out, in)
	}
	if err == nil {
		_, err = out.WriteString(mboxPad(in.last))
	}
	if err == nil {
		err = out.Flush()
	}
	t.end = w.at
	return err
}

// stands reports whether a message that the manifest names stands in its mbox under
// that name: a server may have it again after it was gone.
func (c *committer) stands(p *store.Placement) (bool, error) {
	for at, err := range c.index.naming(p.Dir, p.Name) {
		if err != nil {
			return false, err
		}
		m, err := c.index.message(at)
		if err != nil {
			return false, err
		}
		if _, ok := c.r.intact(m); ok {
			return true, nil
		}
	}
	return false, nil
}

// source opens what is to be appended.
func (c *committer) source(p *store.Placement) (io.ReadCloser, error) {
	if p.Staged == nil {
		return c.r.openMessage(p.LinkOf)
	}
	return c.tree.Open(p.Staged)
}

// openTail opens an mbox to append to it. It ends with an empty line, or is empty.
func (c *committer) openTail(dir string) (*mboxTail, error) {
	if err := c.folder(dir); err != nil {
		return nil, err
	}
	f, size, err := c.r.openToAppend(path.Join(dir, mboxFile))
	if err != nil {
		return nil, err
	}
	t := &mboxTail{f: f, old: size, end: size, names: map[string]bool{}}
	if err := c.padTail(t); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

// openToAppend opens a file to change it, and tells its size.
func (r *Repo) openToAppend(name string) (*os.File, int64, error) {
	st, err := r.root.Lstat(name)
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%q: %w", name, errNotRegular)
	}
	if err != nil {
		return nil, 0, err
	}
	f, err := r.root.OpenFile(name, os.O_RDWR, 0)
	return f, st.Size(), err
}

// padTail adds line ends that are missing, where another program has written.
func (c *committer) padTail(t *mboxTail) error {
	tail := make([]byte, min(t.end, 2))
	if _, err := t.f.ReadAt(tail, t.end-int64(len(tail))); err != nil && err != io.EOF {
		return err
	}
	for len(tail) > 0 && string(tail) != "\n\n" {
		if _, err := c.r.disk.writeAt(t.f, []byte{'\n'}, t.end); err != nil {
			return err
		}
		t.end++
		tail = append(tail[len(tail)-1:], '\n')
	}
	return nil
}

// lastOctet remembers the last octet that was read.
type lastOctet struct {
	r    io.Reader
	last byte
}

// Read implements io.Reader.
func (l *lastOctet) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if n > 0 {
		l.last = p[n-1]
	}
	return n, err
}

// mboxPad is what stands behind a message that ends with an octet, 0 if it is empty.
func mboxPad(last byte) string {
	if last == '\n' {
		return "\n"
	}
	return "\n\n"
}
