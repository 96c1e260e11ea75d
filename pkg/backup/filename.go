package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/store"
)

const (
	keywordsFile = "dovecot-keywords"
	emlSuffix    = ".eml"
	wireMark     = ",X=wire"
	maxFileName  = 200 // octets
	digestPart   = 8   // octets of a digest, or of that of a UIDL, in a file name
)

// fileFacts is what the name of a message's file tells.
type fileFacts struct {
	Date        time.Time // INTERNALDATE to the second, in UTC; zero: not known
	UIDValidity uint32
	UID         uint32 // 0: a message of POP3
	UIDLHash    [digestPart]byte
	Digest      [digestPart]byte // how the digest begins
	Size        int64            // octets of the file
	WireSize    int64
	Wire        bool // the file of a Maildir is in wire form
}

// hashUIDL returns what stands in a file name for a UIDL.
func hashUIDL(uidl string) [digestPart]byte {
	sum := sha256.Sum256([]byte(uidl))
	return [digestPart]byte(sum[:])
}

// A UIDL of which only the hash is left, in the name of a file, stands in the
// manifest as lostMark and the hash in hex. No server has a UIDL with a space
// (RFC 1939 §7).
const lostMark = " "

func lostText(hash [digestPart]byte) string { return lostMark + hex.EncodeToString(hash[:]) }

// lostUIDL reads such a UIDL.
func lostUIDL(uidl string) (hash [digestPart]byte, ok bool) {
	text, ok := strings.CutPrefix(uidl, lostMark)
	return hash, ok && parseHex(hash[:], text)
}

// factsOf returns what the name of a message's file is to tell.
func factsOf(m *Message, fileSize int64, wire bool) fileFacts {
	f := fileFacts{Date: m.Date, UIDValidity: m.UIDValidity, UID: m.UID, Digest: [digestPart]byte(m.Digest[:]),
		Size: fileSize, WireSize: m.Size, Wire: wire}
	if m.UID == 0 {
		var lost bool
		if f.UIDLHash, lost = lostUIDL(m.UIDL); !lost {
			f.UIDLHash = hashUIDL(m.UIDL)
		}
	}
	return f
}

// name returns the name without info and ".eml":
// TIME.VuidvalidityUuid.DIGEST,S=SIZE,W=WIRESIZE with wireMark where it applies; of
// a message of POP3 there is Lhash in the place of V and U. A date that is not
// known is 0.
func (f fileFacts) name() string {
	b := make([]byte, 0, 96)
	var unix int64
	if !f.Date.IsZero() {
		unix = f.Date.Unix()
	}
	b = strconv.AppendInt(b, unix, 10)
	if f.UID != 0 {
		b = strconv.AppendUint(append(b, ".V"...), uint64(f.UIDValidity), 10)
		b = strconv.AppendUint(append(b, 'U'), uint64(f.UID), 10)
	} else {
		b = hex.AppendEncode(append(b, ".L"...), f.UIDLHash[:])
	}
	b = hex.AppendEncode(append(b, '.'), f.Digest[:])
	b = strconv.AppendInt(append(b, ",S="...), f.Size, 10)
	b = strconv.AppendInt(append(b, ",W="...), f.WireSize, 10)
	if f.Wire {
		b = append(b, wireMark...)
	}
	return string(b)
}

// parseFileName reads a name of that form, with ".eml" or not. It takes exactly
// what name gives.
func parseFileName(base string) (f fileFacts, ok bool) {
	base = strings.TrimSuffix(base, emlSuffix)
	if len(base) > maxFileName {
		return f, false
	}
	stamp, rest, _ := strings.Cut(base, ".")
	id, rest, _ := strings.Cut(rest, ".")
	digest, rest, _ := strings.Cut(rest, ",S=")
	size, wireSize, _ := strings.Cut(rest, ",W=")
	wireSize, f.Wire = strings.CutSuffix(wireSize, wireMark)
	unix, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || !parseNameID(id, &f) || !parseHex(f.Digest[:], digest) {
		return f, false
	}
	if unix != 0 {
		f.Date = time.Unix(unix, 0).UTC()
	}
	var err2 error
	f.Size, err = strconv.ParseInt(size, 10, 64)
	f.WireSize, err2 = strconv.ParseInt(wireSize, 10, 64)
	return f, err == nil && err2 == nil && f.Size >= 0 && f.WireSize >= 0 && f.name() == base
}

// parseNameID reads VuidvalidityUuid or Lhash.
func parseNameID(id string, f *fileFacts) bool {
	if hash, ok := strings.CutPrefix(id, "L"); ok {
		return parseHex(f.UIDLHash[:], hash)
	}
	v, u, _ := strings.Cut(strings.TrimPrefix(id, "V"), "U")
	generation, err1 := strconv.ParseUint(v, 10, 32)
	uid, err2 := strconv.ParseUint(u, 10, 32)
	f.UIDValidity, f.UID = uint32(generation), uint32(uid)
	return err1 == nil && err2 == nil && uid > 0
}

// nameUID reads the UID in a name, 0 where there is none.
func nameUID(file []byte) uint32 {
	_, rest, _ := bytes.Cut(file, []byte(".V"))
	_, rest, _ = bytes.Cut(rest, []byte("U"))
	p := lineReader{s: rest}
	if uid := p.number32(); !p.bad && p.peek() == '.' {
		return uid
	}
	return 0
}

func parseHex(to []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(to)) {
		return false
	}
	_, err := hex.Decode(to, []byte(text))
	return err == nil
}

// isFileName reports whether the manifest may name a file so: it stays in its
// folder on every system.
func isFileName[T string | []byte](name T) bool {
	if len(name) == 0 || name[0] == '.' || len(name) > maxFileName {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !plain(c) && c != '.' && c != ',' && c != '=' {
			return false
		}
	}
	return true
}

// maildirFlags are the info letters of a Maildir, in their order.
var maildirFlags = [...]struct {
	letter byte
	flag   string
}{
	{'D', `\Draft`}, {'F', `\Flagged`}, {'P', `$Forwarded`}, {'R', `\Answered`}, {'S', `\Seen`}, {'T', `\Deleted`},
}

// infoLetters returns the letters of a Maildir for flags.
func infoLetters(flags []string) string {
	var b []byte
	for _, f := range maildirFlags {
		for _, flag := range flags {
			if strings.EqualFold(flag, f.flag) {
				b = append(b, f.letter)
				break
			}
		}
	}
	return string(b)
}

// infoFlags is the reverse, with the keywords of the letters a, b, ….
func infoFlags(info string, keywords []string) []string {
	var flags []string
	for _, f := range maildirFlags {
		if strings.IndexByte(info, f.letter) >= 0 {
			flags = append(flags, f.flag)
		}
	}
	for i, word := range keywords {
		if word != "" && strings.IndexByte(info, 'a'+byte(i)) >= 0 {
			flags = append(flags, word)
		}
	}
	return canonicalFlags(flags)
}

// cutInfo cuts the name of a file in a Maildir into what stays and the letters.
// Systems that cannot have a colon there have another mark.
func cutInfo(name string) (base, info string) {
	if i := strings.LastIndex(name, "2,"); i > 0 && strings.IndexByte(":;!", name[i-1]) >= 0 {
		return name[:i-1], name[i+2:]
	}
	return name, ""
}

// matches reports whether a message is the one that the name tells of.
func (f fileFacts) matches(d store.Digest) bool { return f.Digest == [digestPart]byte(d[:]) }
