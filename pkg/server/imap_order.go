package server

import (
	"cmp"
	"slices"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/message"
)

// Sorter puts messages into the order that SORT gives (RFC 5256 §3, RFC 5957), away from any mailbox: for a client
// whose server has no SORT. It keeps what the criteria compare and no header.
type Sorter struct {
	keys  []sortKey
	facts []sortFacts
}

// NewSorter takes the criteria as they stand in the parentheses of SORT: "REVERSE DATE SUBJECT". Others than those of
// SORT and SORT=DISPLAY are an error.
func NewSorter(criteria string) (*Sorter, error) {
	keys, err := imapParseSort(imapwire.NewTextDecoder([]byte("(" + criteria + ")")))
	return &Sorter{keys: keys}, err
}

// Add takes a message: its UID, date and size, and its header, of which Date, Subject, From, To and Cc count.
func (s *Sorter) Add(m MessageInfo, h *message.Header) {
	f := sortFacts{m: m}
	f.read(h, s.keys)
	s.facts = append(s.facts, f)
}

// UIDs gives the messages in their order. The UID decides between equals.
func (s *Sorter) UIDs() []uint32 {
	slices.SortFunc(s.facts, func(a, b sortFacts) int {
		return cmp.Or(compareFacts(s.keys, &a, &b), cmp.Compare(a.m.UID, b.m.UID))
	})
	uids := make([]uint32, len(s.facts))
	for i := range s.facts {
		uids[i] = s.facts[i].m.UID
	}
	return uids
}

// Threader groups messages as THREAD does (RFC 5256 §3), for a client whose server has no THREAD. It is used once.
type Threader struct{ messages []threaded }

type threaded struct {
	uid uint32
	in  threadInput
}

// Add takes a message: its UID and date, and its header, of which Date, Subject, Message-ID, References and In-Reply-To
// count.
func (t *Threader) Add(m MessageInfo, h *message.Header) {
	t.messages = append(t.messages, threaded{m.UID, newThreadInput(0, h, m.Date)})
}

// Walk calls visit for every message, thread by thread, parents first, with the depth below the thread's first message;
// uid is 0 for a message that is not there. by is ORDEREDSUBJECT or REFERENCES.
func (t *Threader) Walk(by string, visit func(uid uint32, depth int) error) error {
	roots := byReferences
	switch by {
	case "REFERENCES":
	case "ORDEREDSUBJECT":
		roots = orderedSubject
	default:
		return &searchError{Msg: "thread algorithm is not known"}
	}
	slices.SortFunc(t.messages, func(a, b threaded) int { return cmp.Compare(a.uid, b.uid) })
	input := make([]threadInput, len(t.messages))
	for i, m := range t.messages {
		m.in.node.index, input[i] = i, m.in
	}
	type place struct {
		n     *threadNode
		depth int
	}
	var stack []place
	push := func(list []*threadNode, depth int) {
		for _, n := range slices.Backward(list) {
			stack = append(stack, place{n, depth})
		}
	}
	for push(roots(input), 0); len(stack) > 0; {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		uid := uint32(0)
		if !p.n.missing() {
			uid = t.messages[p.n.index].uid
		}
		if err := visit(uid, p.depth); err != nil {
			return err
		}
		push(p.n.children, p.depth+1)
	}
	return nil
}
