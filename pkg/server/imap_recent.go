package server

import (
	"sync"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// imapRecent knows which messages no session has been told of: they are \Recent in the first one that is (RFC 3501
// §2.3.2). It lasts as long as the server; after that all messages are recent again, as where a server cannot tell.
type imapRecent struct {
	mu    sync.Mutex
	first map[string]uint32 // the first UID that nobody was told of, by mailbox ID
}

// from gives the first UID that nobody was told of.
func (r *imapRecent) from(id string) uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first[id]
}

// take is from, and from now on that is next.
func (r *imapRecent) take(id string, next uint32) uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil {
		r.first = make(map[string]uint32)
	}
	from := r.first[id]
	r.first[id] = max(from, next)
	return from
}

// claim makes messages from index at on recent in this session if nobody was told of them before. In a mailbox opened
// for reading only they stay recent for the next one. IMAP4rev2 knows nothing of all this.
func (s *imapSession) claim(at int) {
	v := s.view
	if s.rev2() || at == len(v.msgs) {
		return
	}
	next := v.msgs[len(v.msgs)-1].UID + 1
	from := s.srv.recent.from(v.state.ID)
	if !v.readOnly {
		from = s.srv.recent.take(v.state.ID, next)
	}
	if from = max(from, v.msgs[at].UID); from < next {
		v.recent.AddRange(imapwire.UID(from), imapwire.UID(next-1))
	}
}

// isRecent tells if a message is recent in this session.
func (v *imapView) isRecent(uid uint32) bool { return v.recent.Contains(imapwire.UID(uid)) }

func (v *imapView) recentCount() int {
	n := 0
	for i := range v.msgs {
		if v.isRecent(v.msgs[i].UID) {
			n++
		}
	}
	return n
}
