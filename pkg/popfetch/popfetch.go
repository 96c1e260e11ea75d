// Package popfetch stores what is new in a POP3 maildrop since the last time, and deletes on the server what is stored.
// It brings together a session (pkg/pop3), a destination (pkg/store, or anything that takes messages) and a State.
//
// Rules:
//
//   - A message is recorded when it is stored durably, and deleted on the server when it is recorded.
//   - Deletion is QUIT's (RFC 1939 §6). A message whose deletion was not confirmed stays recorded, so that a later run
//     neither stores it again nor forgets to delete it.
//   - A message is known by its unique id (RFC 1939 §7). Where an id cannot be trusted - there is none, it is malformed,
//     several messages have it, its message had another size or was deleted - the content decides.
//   - When it is not known whether a message is stored, its content is looked for at the destination. Where that cannot
//     be read back the message is stored again rather than lost.
package popfetch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/store"
)

// Batches end at one of these bounds.
const (
	DefaultBatch = 2000     // messages
	batchOctets  = 64 << 20 // octets
)

// Options says what is fetched, where to, and what is deleted.
type Options struct {
	// Open opens the destination. It is called when there is something to store, and the batch is closed by Run. Of a
	// store.Detacher one part is committed while the next is filled. An Add that fails with a *RefusedError leaves the
	// message on the server and lets the others go on.
	Open func() (store.Batch, error)
	// Existing yields what the destination holds; nil when it cannot be read back.
	Existing func() iter.Seq2[*store.Message, error]

	Delete  bool          // delete what is stored
	KeepFor time.Duration // with Delete: not what was stored less than so long ago
	MaxSize int64         // leave messages of more octets, as the server counts them; 0: none
	Limit   int           // store at most so many; 0: all
	Batch   int           // messages that are made durable together; 0: DefaultBatch
	DryRun  bool          // only tell what would be done

	Event func(Event) error                // told what became of each message; an error ends the run
	Note  func(format string, args ...any) // told what the user should know; may be nil
	Begin func(messages int, octets int64) // told what will be fetched, before it is; may be nil
	Read  func(octets int)                 // told how much has come since the last call; may be nil
	Now   func() time.Time                 // nil: time.Now
}

// Kind says what became of a message.
type Kind int

// The kinds.
const (
	Stored  Kind = iota // it is stored, durably
	Present             // it was not known, but its content is stored already
	Skipped             // it is larger than MaxSize and left on the server
	Refused             // it could not be had, stored or deleted: Event.Err says why
	Deleted             // the server said that it is deleted
)

// Event tells what became of a message.
type Event struct {
	Kind   Kind
	Number int      // of this session
	UID    pop3.UID // its Flaw tells whether the id can be used
	Size   int64    // octets: as they came, or what the server says of a message that was not fetched
	Name   string   // where it is stored, as the destination names it
	Err    error
}

// LocalError is a failure on our side: of the destination or of the state.
type LocalError struct{ Err error }

func (e *LocalError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *LocalError) Unwrap() error { return e.Err }

// RefusedError is what a destination says that does not take this message and may take others.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// IncompleteError is a run that did all it could and left something for the next one. An Event has told of each.
type IncompleteError struct {
	Refused int
	First   error
}

func (e *IncompleteError) Error() string {
	if e.Refused == 1 {
		return fmt.Sprintf("one message is left for the next run: %v", e.First)
	}
	return fmt.Sprintf("%d messages are left for the next run, the first: %v", e.Refused, e.First)
}

// Unwrap gives the first refusal.
func (e *IncompleteError) Unwrap() error { return e.First }

// Run fetches what is new, records it in st, deletes what is to be deleted, and ends the session with QUIT. The client
// must be logged in.
//
// Errors: *LocalError for our side; *IncompleteError when messages were refused; a *pop3.CommitError when the deletion
// is not confirmed; anything else is the session's. In all cases what was stored is recorded.
func Run(ctx context.Context, client *pop3.Client, st *State, o Options) error {
	r := &run{client: client, st: st, o: o, items: map[int]*item{}}
	r.defaults()
	if err := r.list(ctx); err != nil {
		return err
	}
	if err := r.plan(ctx); err != nil {
		return err
	}
	if o.DryRun {
		return r.tell(ctx)
	}
	if err := r.fetch(ctx); err != nil {
		return err
	}
	if err := r.quit(ctx); err != nil {
		return err
	}
	st.complete = !r.limited && r.refused == 0
	if r.refused > 0 {
		return &IncompleteError{Refused: r.refused, First: r.first}
	}
	return nil
}

// run is one run.
type run struct {
	client *pop3.Client
	st     *State
	o      Options

	items    map[int]*item  // by number
	order    []*item        // in the server's order
	flawed   bool           // messages without an id that can be used are there
	vanished map[int64]bool // sizes of recorded messages whose ids may have changed
	wanted   []*item        // to be fetched
	byDigest map[digest][]*entry
	held     map[digest]int // what the destination holds beyond what is recorded; nil: not to be looked at

	dst     store.Batch
	staged  []*item
	under   *committing // nil: none
	found   []*item     // stored by an earlier run
	done    int         // stored by this one
	limited bool        // Limit left some

	refused int
	first   error
}

// item is one message of the maildrop.
type item struct {
	number int
	size   int64
	uid    pop3.UID
	top    digest
	entry  *entry // what is recorded of it, or will be
	old    *entry // what entry takes the place of
	known  bool   // entry is its, without a look
	octets int64  // as they came
}

// event is what there is to tell.
func (it *item) event(k Kind) Event {
	return Event{Kind: k, Number: it.number, UID: it.uid, Size: it.size}
}

func (it *item) id() string {
	if it.uid.Flaw != pop3.NoFlaw {
		return ""
	}
	return it.uid.ID
}

func (r *run) defaults() {
	if r.o.Batch <= 0 {
		r.o.Batch = DefaultBatch
	}
	if r.o.Now == nil {
		r.o.Now = time.Now
	}
	if r.o.Note == nil {
		r.o.Note = func(string, ...any) {}
	}
}

// refuse notes a message that is left for the next run.
func (r *run) refuse(it *item, err error) error {
	if r.refused++; r.first == nil {
		r.first = err
	}
	e := it.event(Refused)
	e.Err = err
	return r.o.Event(e)
}

// due tells whether a message that is stored is to be deleted now.
func (r *run) due(e *entry) bool {
	return r.o.Delete && (r.o.KeepFor <= 0 || r.o.Now().Sub(e.at) >= r.o.KeepFor)
}

// local wraps an error of our side.
func local(err error) error {
	if err == nil {
		return nil
	}
	return &LocalError{err}
}

// quit deletes what is due and ends the session.
func (r *run) quit(ctx context.Context) error {
	var numbers []int
	for _, it := range r.order {
		if it.known && r.due(it.entry) {
			numbers = append(numbers, it.number)
		}
	}
	err := r.client.Dele(ctx, numbers)
	var partial *pop3.PartialError
	if err != nil && !errors.As(err, &partial) {
		return err
	}
	if partial != nil {
		for _, refusal := range partial.Refused {
			if err := r.refuse(r.items[refusal.Number], refusal.Err); err != nil {
				return err
			}
		}
	}
	marked := r.client.Marked()
	if err := r.client.Quit(ctx); err != nil {
		return err
	}
	return r.deleted(marked)
}

// deleted records and tells what the server has deleted.
func (r *run) deleted(numbers []int) error {
	if len(numbers) == 0 {
		return nil
	}
	entries := make([]*entry, len(numbers))
	for i, n := range numbers {
		entries[i] = r.items[n].entry
	}
	if err := r.st.markDeleted(entries); err != nil {
		return local(err)
	}
	for _, n := range numbers {
		if err := r.o.Event(r.items[n].event(Deleted)); err != nil {
			return err
		}
	}
	return nil
}

// tell is the dry run.
func (r *run) tell(ctx context.Context) error {
	for _, it := range r.wanted {
		if err := r.o.Event(it.event(Stored)); err != nil {
			return err
		}
	}
	for _, it := range r.order {
		if it.known && r.due(it.entry) {
			if err := r.o.Event(it.event(Deleted)); err != nil {
				return err
			}
		}
	}
	return r.client.Quit(ctx)
}
