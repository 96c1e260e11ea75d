package backup

import (
	"context"
	"sync"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
)

// jobKind is what there is to do in a mailbox.
type jobKind uint8

const (
	jobWhole   jobKind = iota // resynchronise, and fetch what is new
	jobLook                   // resynchronise, and only list what is new
	jobBodies                 // fetch messages
	jobHeaders                // fetch headers, to be compared with those of stored messages
	jobExist                  // ask which messages are there
)

// job is a part of the work on a mailbox, done by one connection.
type job struct {
	kind  jobKind
	box   *boxRun
	set   imap.UIDSet // what it is about, empty for jobWhole and jobLook
	size  int64       // octets that are to come, roughly
	tries int         // that were in vain
	again bool        // these messages did not come when they were asked for
	why   string      // with again: what the server said

	given imap.UIDSet // jobExist: what is there; jobHeaders: what was recognised

	// Of jobLook: what is to be fetched, and of what the headers are to be compared,
	// and is not handed out yet.
	part, check imap.UIDSet
	partSize    int64
}

// Shares of the work, in octets.
const (
	chunkOctets  = 8 << 20 // of one jobBodies
	chunkCount   = 1000    // messages of one jobBodies
	minShare     = 2 * chunkOctets
	jobOverhead  = 32 << 10 // what opening a mailbox costs, expressed in octets
	dialOctets   = 2 << 20  // work for which another connection is worth it
	guessOctets  = 16 << 10 // of a message of which the size is not known
	maxPipelined = 64       // mailboxes
)

// jobQueue holds what is to be done. It is safe for use by several goroutines.
type jobQueue struct {
	mu     sync.Mutex
	wake   *sync.Cond
	jobs   []*job
	size   int64 // octets of jobs
	out    int   // jobs that are being done
	ended  bool  // no more work is given out
	onPush func()
}

func newJobQueue() *jobQueue {
	q := &jobQueue{}
	q.wake = sync.NewCond(&q.mu)
	return q
}

// push adds work.
func (q *jobQueue) push(jobs ...*job) {
	q.mu.Lock()
	for _, j := range jobs {
		q.jobs = append(q.jobs, j)
		q.size += j.weight()
	}
	q.mu.Unlock()
	q.wake.Broadcast()
	if q.onPush != nil {
		q.onPush()
	}
}

// waiting is how much there is to do, in octets.
func (q *jobQueue) waiting() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size
}

func (j *job) weight() int64 { return j.size + jobOverhead }

// wait waits until there is work; false: there will be none.
func (q *jobQueue) wait() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.jobs) == 0 && q.out > 0 && !q.ended {
		q.wake.Wait()
	}
	return len(q.jobs) > 0 && !q.ended
}

// take gives work out, nil when there is none at the moment or what there is weighs
// more than room. What is about the mailbox box comes first.
func (q *jobQueue) take(box *boxRun, room int64) *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 || q.ended {
		return nil
	}
	at := 0
	for i := range min(len(q.jobs), 1000) {
		if box != nil && q.jobs[i].box == box {
			at = i
			break
		}
	}
	j := q.jobs[at]
	if j.weight() > room {
		return nil
	}
	copy(q.jobs[1:at+1], q.jobs[:at])
	q.jobs = q.jobs[1:]
	q.size -= j.weight()
	q.out++
	return j
}

// share is how much of the work one of n connections may take at once.
func (q *jobQueue) share(n int) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return max(q.size/int64(2*n), minShare)
}

// done ends a job that was given out.
func (q *jobQueue) done() {
	q.mu.Lock()
	q.out--
	q.mu.Unlock()
	q.wake.Broadcast()
}

// end lets no more work be given out, and returns what is left.
func (q *jobQueue) end() []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	left := q.jobs
	q.jobs, q.size = nil, 0
	q.wake.Broadcast()
	return left
}

// sleep waits, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
