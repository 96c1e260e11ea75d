package server

import (
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// The data functions, for the tests outside the package.
var (
	BodyStructure = imapBodyStructure
	Envelope      = imapEnvelope
	Section       = imapSection
	Binary        = imapBinary
	Preview       = imapPreview
)

// Find answers "SEARCH …", "SORT …" and "THREAD …" as the session does, but for the word in front.
func Find(command string, list []MessageInfo, open func(uid uint32) (Body, error)) (string, error) {
	d := imapwire.NewDecoder(lineSource{strings.NewReader(command + "\r\n")}, nil)
	if err := d.Next(); err != nil {
		return "", err
	}
	word := d.Keyword()
	d.SP()
	var keys []sortKey
	var algorithm string
	var err error
	switch word {
	case "SORT":
		if keys, err = imapParseSort(d); err != nil {
			return "", err
		}
	case "THREAD":
		algorithm = d.Atom()
	}
	if word != "SEARCH" {
		d.SP()
		_ = d.AString() // charset
		d.SP()
	}
	q, err := imapParseSearch(d, searchContext{MaxSeq: uint32(len(list)), MaxUID: uint32(len(list))})
	if err != nil {
		return "", err
	}
	var found []MessageInfo
	for i, m := range list {
		ok, err := q.Match(m, uint32(i+1), func() (Body, error) { return open(m.UID) })
		if err != nil {
			return "", err
		}
		if ok {
			found = append(found, m)
		}
	}
	var order []int
	switch word {
	case "SORT":
		order, err = imapSort(keys, found, open)
	case "THREAD":
		text, err := imapThread(algorithm, found, open, func(i int) uint32 { return found[i].UID })
		return string(text), err
	default:
		for i := range found {
			order = append(order, i)
		}
	}
	var words []string
	for _, i := range order {
		words = append(words, strconv.Itoa(int(found[i].UID)))
	}
	return strings.Join(words, " "), err
}
