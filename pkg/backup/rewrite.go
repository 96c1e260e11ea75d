package backup

import (
	"bytes"
	"context"
	"os"

	"github.com/mail-toolkit/mail/pkg/imap"
)

// rewriter writes a manifest anew, beside the old one.
type rewriter struct {
	ctx context.Context
	r   *Repo
	x   *index   // of what is written
	out *os.File // nil: it is only counted
	at  int      // octets of what is pending that are in x
	w   lineWriter
}

// run calls fill, which writes the lines, and puts the new manifest in the place of
// the old one unless there is an error. In a dry run there is no file.
func (p *rewriter) run(ctx context.Context, r *Repo, dryRun bool, fill func() error) (err error) {
	log := &manifestLog{}
	p.ctx, p.r, p.x = ctx, r, newIndex(log)
	if !dryRun {
		if p.out, err = r.beside(manifestFile); err != nil {
			return err
		}
		defer p.out.Close()
		log.f = p.out
	}
	if err = fill(); err == nil {
		err = p.flush(0)
	}
	if dryRun {
		return err
	}
	return r.putBeside(p.out, manifestFile, err)
}

// flush writes what is pending if it is more than so much. In a dry run it is
// dropped.
func (p *rewriter) flush(most int) error {
	log := p.x.log
	if len(log.pending) <= most {
		return nil
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if p.out != nil {
		if _, err := p.r.disk.writeAt(p.out, log.pending, log.size); err != nil {
			return err
		}
	}
	log.size += int64(len(log.pending))
	log.pending, p.at = log.pending[:0], 0
	return nil
}

// emit puts what was appended to the pending lines into the new index.
func (p *rewriter) emit() error {
	log := p.x.log
	for p.at < len(log.pending) {
		end := p.at + bytes.IndexByte(log.pending[p.at:], '\n')
		rec, err := p.x.parser.parse(log.pending[p.at:end])
		if err == nil {
			err = p.x.apply(rec, log.size+int64(p.at))
		}
		if err != nil {
			return err
		}
		p.at = end + 1
	}
	return p.flush(flushAt)
}

// write adds lines.
func (p *rewriter) write(fill func(w *lineWriter)) error {
	p.w.b = p.x.log.pending
	fill(&p.w)
	p.x.log.pending = p.w.b
	return p.emit()
}

// copy adds a line as it stands.
func (p *rewriter) copy(line []byte) error {
	p.x.log.pending = append(append(p.x.log.pending, line...), '\n')
	return p.emit()
}

// replaced takes a message off that the one in rec, which is dropped, had taken the
// place of.
func (p *rewriter) replaced(rec *record) error {
	b := p.x.boxes[rec.box]
	if b == nil {
		return nil
	}
	if _, ok := p.x.findRecord(b, rec); !ok {
		return nil
	}
	return p.write(func(w *lineWriter) {
		if rec.u == 0 {
			w.writeGoneUIDL(rec.box, []string{string(rec.uidl)})
		} else {
			var one imap.UIDSet
			one.Add(imap.UID(rec.u))
			w.writeGone(rec.box, rec.v, one)
		}
	})
}
