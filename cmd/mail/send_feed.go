package main

import (
	"slices"
	"sync"

	"github.com/mail-toolkit/mail/pkg/config"
)

// job is a message on its way.
type job struct {
	m     *outgoing
	tries int
}

// feed hands the messages of a source to the connections, in order. It is safe for concurrent use.
type feed struct {
	mu     sync.Mutex
	source *sendSource
	bad    func(error) // is told of messages that cannot be sent
	again  []*job      // lost their connection before they were sent
	ahead  *job        // taken from the source to see whether there is one
	ended  bool        // the source is empty
	last   int         // number of the last message taken from the source
}

// next gives the next message; with a server, only if it is meant for that one. It is nil when there is none.
func (f *feed) next(t *config.Target) *job {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, j := range f.again {
		if t == nil || j.m.route.target == t {
			f.again = slices.Delete(f.again, i, i+1)
			return j
		}
	}
	f.peek()
	j := f.ahead
	if j == nil || t != nil && j.m.route.target != t {
		return nil
	}
	f.ahead = nil
	return j
}

// peek fills ahead, if there is anything left. What is wrong with the first message is so known before the server is
// connected to.
func (f *feed) peek() {
	for f.ahead == nil && !f.ended {
		m, err, ok := f.source.next()
		switch {
		case !ok:
			f.ended = true
		case err != nil:
			f.bad(err)
		default:
			f.last = m.number
			f.ahead = &job{m: m}
		}
	}
}

// putBack returns a message that was not sent.
func (f *feed) putBack(j *job) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.again = append(f.again, j)
}

// alone is true when the source has one message only.
func (f *feed) alone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.source.many {
		return true
	}
	f.peek()
	return f.ended && f.last == 1
}

// drain closes what was not sent and tells how many messages that were; more is true when the source has others.
func (f *feed) drain() (left int, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ahead != nil {
		f.again = append(f.again, f.ahead)
	}
	for _, j := range f.again {
		j.m.close()
	}
	left = len(f.again)
	if !f.ended {
		m, _, ok := f.source.next()
		if more = ok; m != nil {
			m.close()
		}
	}
	f.again, f.ahead, f.ended = nil, nil, true
	return left, more
}
