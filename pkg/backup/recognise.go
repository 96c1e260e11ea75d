package backup

import (
	"bytes"
	"cmp"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/message"
)

// maxHeader is the largest header that is compared, in octets.
const maxHeader = 1 << 20

// recogniser finds messages of a mailbox that have other UIDs now: those of the same
// size and date are candidates, and the header decides.
type recogniser struct {
	list []candidate     // by key
	used map[string]bool // files
}

type candidate struct {
	key uint64
	at  ref
}

func candidateKey(size, unix int64) uint64 {
	return uint64(size)*0x9E3779B97F4A7C15 ^ uint64(unix)*0xC2B2AE3D27D4EB4F
}

// newRecogniser takes in all that was ever stored of a mailbox.
func (f *fetching) newRecogniser(b *boxRun) (*recogniser, error) {
	r := &recogniser{used: map[string]bool{}}
	for at := range f.index.all(b.id) {
		m, err := f.index.message(at)
		if err != nil {
			return nil, err
		}
		if m.UID != 0 {
			r.list = append(r.list, candidate{candidateKey(m.Size, unixOf(m)), at})
		}
	}
	slices.SortFunc(r.list, func(a, b candidate) int { return cmp.Compare(a.key, b.key) })
	return r, nil
}

func unixOf(m *Message) int64 {
	if m.Date.IsZero() {
		return 0
	}
	return m.Date.Unix()
}

// candidates returns what has a size and a date.
func (r *recogniser) candidates(size, unix int64) []candidate {
	if r == nil {
		return nil
	}
	key := candidateKey(size, unix)
	first, _ := slices.BinarySearchFunc(r.list, key, func(c candidate, key uint64) int { return cmp.Compare(c.key, key) })
	last := first
	for last < len(r.list) && r.list[last].key == key {
		last++
	}
	return r.list[first:last]
}

// reset begins anew with a mailbox that has another UIDVALIDITY.
func (f *fetching) reset(b *boxRun, v uint32) {
	f.mu.Lock()
	b.resets++
	often := b.resets > 2
	f.mu.Unlock()
	if often {
		f.boxFails(b, &UIDValidityError{b.m.Name})
		return
	}
	recog, err := f.newRecogniser(b)
	if err != nil {
		f.fail(err)
		return
	}
	f.warn("%s: UIDVALIDITY has changed from %d to %d; what is stored is looked for by what it is", b.m.Name, b.v, v)
	if f.push(item{kind: itemReset, box: b, state: boxState{UIDValidity: v}}) != nil {
		return
	}
	f.synced()
	f.mu.Lock()
	b.v, b.known, b.modSeq, b.hadAny = v, imap.UIDSet{}, 0, false
	b.got, b.listed, b.changes, b.recog = imap.UIDSet{}, imap.UIDSet{}, nil, recog
	f.mu.Unlock()
	f.queue(&job{kind: jobLook, box: b, size: int64(len(recog.list)) * 64})
}

// look takes in what the server tells of a new message before its octets are asked
// for: perhaps they need not be.
func (f *fetching) look(j *job, m *imap.Message) error {
	b := j.box
	f.mu.Lock()
	known := b.listed.Contains(m.UID) || b.got.Contains(m.UID)
	b.listed.Add(m.UID)
	recog := b.recog
	f.octets += max(m.Size, 0)
	f.mu.Unlock()
	if known {
		return nil
	}
	if f.o.DryRun {
		f.mu.Lock()
		b.receipt.New++
		b.receipt.Size += m.Size
		f.mu.Unlock()
		return nil
	}
	it, ok, err := f.recognise(b, m)
	if err != nil {
		f.fail(err)
		return err
	}
	if ok {
		return f.store(it)
	}
	msg := Message{Date: m.InternalDate}
	if len(recog.candidates(m.Size, unixOf(&msg))) > 0 {
		j.check.Add(m.UID)
	} else {
		j.part.Add(m.UID)
		j.partSize += max(m.Size, 0)
	}
	f.moreBodies(j, false)
	return nil
}

// moreBodies hands out what a job has found to be fetched, if it is much or the last.
func (f *fetching) moreBodies(j *job, last bool) {
	if n := j.part.Count(); n > 0 && (last || j.partSize >= chunkOctets || n >= chunkCount) {
		f.queue(&job{kind: jobBodies, box: j.box, set: j.part, size: j.partSize})
		j.part, j.partSize = imap.UIDSet{}, 0
		f.tellPlan()
	}
	if n := j.check.Count(); n > 0 && (last || n >= chunkCount) {
		f.queue(&job{kind: jobHeaders, box: j.box, set: j.check, size: int64(n) * 2048})
		j.check = imap.UIDSet{}
	}
}

// recognise finds what is stored of a message by its ids.
func (f *fetching) recognise(b *boxRun, m *imap.Message) (it item, ok bool, err error) {
	msg := f.message(b, m)
	if f.taken.find(f, b, msg) {
		return item{kind: itemMsg, box: b, msg: msg}, true, nil
	}
	var old *Message
	switch {
	case m.GmailID != 0:
		old, ok, err = f.index.gmailID(m.GmailID)
	case m.EmailID != "":
		old, ok, err = f.index.emailID(m.EmailID)
	}
	if err != nil || !ok {
		return item{}, false, err
	}
	file, ok := f.r.intact(old)
	if !ok {
		return item{}, false, nil // removed by hand, or damaged: it is fetched again
	}
	return f.sameAs(b, msg, old, file), true, nil
}

// sameAs is the item for a message that is stored as old in file. In its own mailbox
// it keeps its file, unless another message has that.
func (f *fetching) sameAs(b *boxRun, msg, old *Message, file string) item {
	msg.Digest, msg.Size = old.Digest, old.Size
	it := item{kind: itemMsg, box: b, msg: msg}
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := b.recog; r != nil && old.Mailbox.Dir == b.m.Dir && !r.used[old.File] {
		r.used[old.File] = true
		msg.File = old.File
		return it
	}
	facts, _ := parseFileName(old.File)
	msg.File = f.r.fileName(msg, facts.Size, facts.Wire)
	it.link = file
	if path.Dir(file) == f.r.fileDir(b.m) && old.File == msg.File {
		it.link = ""
	}
	return it
}

// header compares the header of a message with those of stored ones.
func (f *fetching) header(j *job, m *imap.Message) error {
	body, err := m.Next()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return err
	}
	head, err := io.ReadAll(io.LimitReader(body, maxHeader+1))
	if err != nil || len(head) > maxHeader || len(bytes.TrimSpace(head)) == 0 {
		return err
	}
	b := j.box
	msg := f.message(b, m)
	for _, c := range b.recog.candidates(m.Size, unixOf(msg)) {
		old, err := f.index.message(c.at)
		if err != nil {
			f.fail(err)
			return err
		}
		f.mu.Lock()
		used := b.recog.used[old.File]
		f.mu.Unlock()
		if used || old.Size != m.Size || unixOf(old) != unixOf(msg) {
			continue
		}
		file, ok := f.r.intact(old)
		if !ok || !f.r.beginsWith(old, file, head) {
			continue
		}
		j.given.Add(m.UID)
		return f.store(f.sameAs(b, msg, old, file))
	}
	return nil
}

// beginsWith reports whether the wire form of a stored message begins so.
func (r *Repo) beginsWith(m *Message, file string, head []byte) bool {
	h, err := r.openMessage(file)
	if err != nil {
		return false
	}
	defer h.Close()
	in := io.Reader(h)
	if r.settings.Format != FormatEML && !strings.HasSuffix(m.File, wireMark) {
		in = message.ToWire(h)
	}
	got := make([]byte, len(head))
	_, err = io.ReadFull(in, got)
	return err == nil && bytes.Equal(got, head)
}
