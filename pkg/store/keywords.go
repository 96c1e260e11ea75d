package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/message"
)

// keywordsFile is where Dovecot says what the letters a to z in the names of a Maildir
// stand for: "NUMBER KEYWORD" lines, numbers from 0. Who changes it makes the file with
// keywordsLock, which is the new one then.
const (
	keywordsFile = "dovecot-keywords"
	keywordsLock = keywordsFile + ".lock"
)

// keywordsStale is the age at which a lock is taken for a forgotten one, as Dovecot has it.
const keywordsStale = 2 * time.Minute

// Caps on keywords.
const (
	maxKeywords     = 26 // a letter each
	maxKeyword      = 200
	maxKeywordsFile = 64 << 10
)

// readKeywords reads the file in which Dovecot says what the letters a to z in names
// stand for: "NUMBER KEYWORD" lines, numbers from 0. It may be missing.
func readKeywords(root *os.Root) ([]string, error) {
	f, err := root.OpenFile(keywordsFile, os.O_RDONLY|noFollow|nonBlock, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeywordsFile))
	keywords := make([]string, maxKeywords)
	for line := range strings.Lines(string(data)) {
		number, word, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if n, err := strconv.Atoi(number); err == nil && n >= 0 && n < maxKeywords && len(word) <= maxKeyword {
			keywords[n] = word
		}
	}
	return keywords, err
}

// keywordLetters returns the letters of those flags that are keywords. One that the
// Maildir does not know gets a letter, durably; when there is none left, or the keyword
// could not stand in the file, it has no place.
func (m *maildir) keywordLetters(ctx context.Context, flags []string) (string, error) {
	var letters []byte
	for _, f := range flags {
		if !isKeyword(f) {
			continue
		}
		if err := m.knowKeywords(); err != nil {
			return "", err
		}
		i := keywordIndex(m.keywords, f)
		if i < 0 && slices.Contains(m.keywords, "") {
			if err := m.addKeywords(ctx, flags); err != nil {
				return "", err
			}
			i = keywordIndex(m.keywords, f)
		}
		if i >= 0 {
			letters = append(letters, 'a'+byte(i))
		}
	}
	slices.Sort(letters)
	return string(slices.Compact(letters)), nil
}

// knowKeywords reads the file unless it is known, and makes durable that it is there.
func (m *maildir) knowKeywords() error {
	if m.keywords != nil {
		return nil
	}
	keywords, err := readKeywords(m.root)
	if err == nil && keywords != nil {
		err = m.disk.sync(m.self)
	}
	if err != nil {
		return err
	}
	if m.keywords = keywords; keywords == nil {
		m.keywords = make([]string, maxKeywords)
	}
	return nil
}

// isKeyword reports a flag that has no letter of its own and can stand in the file.
func isKeyword(flag string) bool {
	own := strings.HasPrefix(flag, `\`) || flagLetters([]string{flag}) != ""
	return flag != "" && !own && len(flag) <= maxKeyword && message.IsASCII(flag) && !strings.ContainsFunc(flag, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

func keywordIndex(keywords []string, word string) int {
	return slices.IndexFunc(keywords, func(k string) bool { return strings.EqualFold(k, word) })
}

// addKeywords gives letters to those flags that have none, as far as there are any.
func (m *maildir) addKeywords(ctx context.Context, flags []string) error {
	var lock *os.File
	err := retryLock(ctx, filepath.Join(m.path, keywordsFile), m.wait, func() (ok bool, holder string, err error) {
		lock, err = m.disk.create(m.root, keywordsLock)
		if errors.Is(err, os.ErrExist) {
			return false, keywordsLock, m.clearKeywordsLock()
		}
		return err == nil, "", err
	})
	if err != nil {
		return err
	}
	err = m.replaceKeywords(lock, flags)
	if err = errors.Join(err, lock.Close()); err == nil {
		err = m.disk.renameAt(m.self, keywordsLock, m.self, keywordsFile)
	}
	if err != nil {
		m.keywords = nil
		return errors.Join(err, m.disk.remove(m.root, keywordsLock))
	}
	if err = m.disk.sync(m.self); err != nil {
		m.keywords = nil // to be made durable when it is read
	}
	return err
}

// clearKeywordsLock removes a lock of a dead process.
func (m *maildir) clearKeywordsLock() error {
	st, err := m.root.Lstat(keywordsLock)
	if err == nil && time.Since(st.ModTime()) > keywordsStale {
		err = m.root.Remove(keywordsLock)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// replaceKeywords writes to lock what the file has now, and flags.
func (m *maildir) replaceKeywords(lock *os.File, flags []string) (err error) {
	m.keywords = nil // another program may have changed it
	if err := m.knowKeywords(); err != nil {
		return err
	}
	if st, err := m.root.Lstat(keywordsFile); err == nil {
		if err := lock.Chmod(st.Mode().Perm()); err != nil {
			return err
		}
	}
	for _, f := range flags {
		if free := slices.Index(m.keywords, ""); free >= 0 && isKeyword(f) && keywordIndex(m.keywords, f) < 0 {
			m.keywords[free] = f
		}
	}
	var b []byte
	for i, word := range m.keywords {
		if word != "" {
			b = fmt.Appendf(b, "%d %s\n", i, word)
		}
	}
	if _, err = m.disk.writer(lock).WriteAt(b, 0); err == nil {
		err = m.disk.sync(lock)
	}
	return err
}
