package server

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/message"
)

const (
	// maxReferences is how many references of one message are looked at, the last ones.
	maxReferences = 1000
	// maxThreadText is how many octets of a References field are looked at, the last ones.
	maxThreadText = 64 << 10
)

// imapThreadAlgorithms are the algorithms that imapThread knows.
var imapThreadAlgorithms = []string{"ORDEREDSUBJECT", "REFERENCES"}

// threadNode is a message in a thread, or a place for one that is not there.
type threadNode struct {
	index    int // in the list of messages, -1 for none
	subject  string
	reply    bool
	date     time.Time
	parent   *threadNode
	children []*threadNode
}

// missing tells if there is no message.
func (n *threadNode) missing() bool { return n.index < 0 }

// threadInput is what threading needs of a message.
type threadInput struct {
	node *threadNode
	id   string
	refs []string
}

// imapThread gives the threads of list (RFC 5256 §3, BASE.6.4.THREAD) as they stand behind "* THREAD ", "" when list is
// empty. list is in the order of sequence numbers; number gives what is written for the message with that index. open
// is used as in imapSort. An algorithm that is not known is a *searchError.
func imapThread(algorithm string, list []MessageInfo, open func(uid uint32) (Body, error), number func(i int) uint32) ([]byte, error) {
	algorithm = strings.ToUpper(algorithm)
	if !slices.Contains(imapThreadAlgorithms, algorithm) {
		return nil, &searchError{Msg: "thread algorithm is not known"}
	}
	input := make([]threadInput, len(list))
	for i, m := range list {
		h, err := openHeader(m.UID, open)
		if err != nil {
			return nil, err
		}
		input[i] = newThreadInput(i, h, m.Date)
	}
	if algorithm == "ORDEREDSUBJECT" {
		return writeThreads(orderedSubject(input), number), nil
	}
	return writeThreads(byReferences(input), number), nil
}

func newThreadInput(i int, h *message.Header, arrived time.Time) threadInput {
	n := &threadNode{index: i, date: sentDate(h, arrived)}
	n.subject, n.reply = baseSubject(subjectOf(h))
	in := threadInput{node: n}
	if ids := messageIDs(firstValue(h, "Message-ID")); len(ids) > 0 {
		in.id = ids[0]
	}
	refs := firstValue(h, "References")
	if len(refs) > maxThreadText {
		refs = refs[len(refs)-maxThreadText:]
	}
	in.refs = messageIDs(refs)
	if len(in.refs) == 0 {
		if ids := messageIDs(firstValue(h, "In-Reply-To")); len(ids) > 0 {
			in.refs = ids[:1]
		}
	}
	in.refs = in.refs[max(0, len(in.refs)-maxReferences):]
	return in
}

func firstValue(h *message.Header, name string) string {
	v, _ := h.Get(name)
	return v
}

// messageIDs finds the message identifiers in a field, without brackets, and with quoting that means nothing removed
// (RFC 5256 §2.2, "normalized Message ID"). What is not in brackets is skipped.
func messageIDs(s string) []string {
	var ids []string
	for {
		_, rest, ok := strings.Cut(s, "<")
		if !ok {
			return ids
		}
		id, rest, ok := strings.Cut(rest, ">")
		if !ok {
			return ids
		}
		s = rest
		if id = normalID(id); strings.Contains(id, "@") {
			ids = append(ids, id)
		}
	}
}

// normalID removes quotes, backslashes before other characters, and blanks.
func normalID(id string) string {
	if !strings.ContainsAny(id, "\"\\ \t") {
		return id
	}
	out := make([]byte, 0, len(id))
	for i := 0; i < len(id); i++ {
		switch c := id[i]; c {
		case '"', ' ', '\t':
			continue
		case '\\':
			if i+1 < len(id) {
				i++
			}
			out = append(out, id[i])
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func byDate(a, b *threadNode) int {
	if c := a.sortDate().Compare(b.sortDate()); c != 0 {
		return c
	}
	return cmp.Compare(a.sortIndex(), b.sortIndex())
}

// sortDate is the date of a message; that of a missing one is the date of its first child.
func (n *threadNode) sortDate() time.Time {
	if n.missing() && len(n.children) > 0 {
		return n.children[0].date
	}
	return n.date
}

func (n *threadNode) sortIndex() int {
	if n.missing() && len(n.children) > 0 {
		return n.children[0].index
	}
	return n.index
}

// orderedSubject makes one thread of the messages of a base subject: the earliest and, below it, the others.
func orderedSubject(input []threadInput) []*threadNode {
	first := make(map[string]*threadNode)
	var roots []*threadNode
	for _, n := range sortedNodes(input) {
		if above := first[n.subject]; above != nil {
			above.children = append(above.children, n)
			continue
		}
		first[n.subject] = n
		roots = append(roots, n)
	}
	return roots
}

func sortedNodes(input []threadInput) []*threadNode {
	nodes := make([]*threadNode, len(input))
	for i, in := range input {
		nodes[i] = in.node
	}
	slices.SortFunc(nodes, byDate)
	return nodes
}

// byReferences threads by References and In-Reply-To, then puts roots of one subject together.
func byReferences(input []threadInput) []*threadNode {
	roots := prune(linkReferences(input))
	sortChildren(roots)
	slices.SortFunc(roots, byDate)
	roots = mergeSubjects(roots)
	sortChildren(roots)
	slices.SortFunc(roots, byDate)
	return roots
}

// forest keeps nodes free of loops: a node gets a parent once, and top finds the root it hangs under in nearly constant
// time.
type forest map[*threadNode]*threadNode

// top gives the root of the tree n is in, and shortens the way for the next time.
func (f forest) top(n *threadNode) *threadNode {
	root := n
	for f[root] != nil {
		root = f[root]
	}
	for n != root {
		next := f[n]
		f[n] = root
		n = next
	}
	return root
}

// link makes parent the parent of child, unless child has one or it would be its own ancestor.
func (f forest) link(parent, child *threadNode) {
	if child.parent != nil || f.top(parent) == child {
		return
	}
	child.parent = parent
	f[child] = f.top(parent)
}

// linkReferences is step 1: it gives every node, messages in their order first and then those that are missing. The
// last reference of a message is its parent whatever others say of it, so those links are made before the links among
// references.
func linkReferences(input []threadInput) []*threadNode {
	nodes := make([]*threadNode, 0, len(input))
	byID := make(map[string]*threadNode)
	for _, in := range input {
		nodes = append(nodes, in.node)
		if _, taken := byID[in.id]; in.id != "" && !taken { // a second message of that ID has none
			byID[in.id] = in.node
		}
	}
	lookup := func(id string) *threadNode {
		n := byID[id]
		if n == nil {
			n = &threadNode{index: -1}
			byID[id] = n
			nodes = append(nodes, n)
		}
		return n
	}
	f := make(forest)
	for _, in := range input {
		if n := len(in.refs); n > 0 {
			f.link(lookup(in.refs[n-1]), in.node)
		}
	}
	for _, in := range input {
		for i := 1; i < len(in.refs); i++ {
			f.link(lookup(in.refs[i-1]), lookup(in.refs[i]))
		}
	}
	return nodes
}

// prune is steps 2 and 3: it hangs every message under the nearest message above it. Those without one share their
// missing root; a missing root of one message gives way to it.
func prune(nodes []*threadNode) (roots []*threadNode) {
	tops := make(map[*threadNode][]*threadNode) // messages below a missing root
	var order []*threadNode
	real := make(forest)
	for _, n := range nodes {
		if n.missing() {
			continue
		}
		above := real.nearest(n.parent)
		switch {
		case above == nil:
			roots = append(roots, n)
		case above.missing():
			if tops[above] == nil {
				order = append(order, above)
			}
			tops[above] = append(tops[above], n)
		default:
			above.children = append(above.children, n)
		}
	}
	for _, top := range order {
		if list := tops[top]; len(list) == 1 {
			roots = append(roots, list[0])
		} else {
			roots = append(roots, &threadNode{index: -1, children: list})
		}
	}
	return roots
}

// nearest gives the first message from n upwards, or the missing root where there is none; nil for nil.
func (f forest) nearest(n *threadNode) *threadNode {
	start := n
	for n != nil && n.missing() && n.parent != nil {
		if short := f[n]; short != nil {
			n = short
		} else {
			n = n.parent
		}
	}
	for at := start; at != nil && at != n; {
		next := f[at]
		if next == nil {
			next = at.parent
		}
		f[at] = n
		at = next
	}
	return n
}

// sortChildren sorts the children of every node by date.
func sortChildren(roots []*threadNode) {
	stack := slices.Clone(roots)
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = append(stack[:len(stack)-1], n.children...)
		slices.SortFunc(n.children, byDate)
	}
}

// subjectOfThread gives the base subject of a root and whether it is a reply: those of the first child when it is
// missing itself.
func (n *threadNode) subjectOfThread() (subject string, reply bool) {
	if n.missing() {
		n = n.children[0]
	}
	return n.subject, n.reply
}

// mergeSubjects is step 5: roots of one subject become one thread.
func mergeSubjects(roots []*threadNode) []*threadNode {
	table := make(map[string]*threadNode)
	for _, n := range roots {
		subject, reply := n.subjectOfThread()
		if subject == "" {
			continue
		}
		old := table[subject]
		if old == nil {
			table[subject] = n
			continue
		}
		_, oldReply := old.subjectOfThread()
		if n.missing() && !old.missing() || oldReply && !reply && n.missing() == old.missing() {
			table[subject] = n
		}
	}
	gone := make(map[*threadNode]bool)
	for _, n := range roots {
		subject, reply := n.subjectOfThread()
		into := table[subject]
		if subject == "" || into == n {
			continue
		}
		gone[n] = true
		if merge(into, n, reply) {
			continue
		}
		both := &threadNode{index: -1, children: []*threadNode{into, n}}
		gone[into], table[subject] = true, both
		roots = append(roots, both)
	}
	return slices.DeleteFunc(roots, func(n *threadNode) bool { return gone[n] })
}

// merge puts n into another root of its subject. It is false when neither belongs below the other.
func merge(into, n *threadNode, reply bool) bool {
	switch {
	case into.missing() && n.missing():
		into.children = append(into.children, n.children...)
	case into.missing():
		into.children = append(into.children, n)
	case reply && !into.reply:
		into.children = append(into.children, n)
	default:
		return false
	}
	return true
}

// writeThreads writes threads as RFC 5256 §4 has them, without recursion: threads can be as deep as a mailbox is long.
func writeThreads(roots []*threadNode, number func(i int) uint32) []byte {
	var out []byte
	var stack []*threadNode // nil: the end of a thread
	push := func(list []*threadNode) {
		for _, n := range slices.Backward(list) {
			stack = append(stack, nil, n)
		}
	}
	push(roots)
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if n == nil {
			out = append(out, ')')
			continue
		}
		out = append(out, '(')
		for {
			if !n.missing() {
				out = strconv.AppendUint(out, uint64(number(n.index)), 10)
			}
			if len(n.children) != 1 {
				break
			}
			if n = n.children[0]; out[len(out)-1] != '(' {
				out = append(out, ' ')
			}
		}
		if len(n.children) > 0 && !n.missing() {
			out = append(out, ' ')
		}
		push(n.children)
	}
	return out
}
