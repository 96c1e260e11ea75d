package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Folder is one mailbox of a directory of mailboxes.
type Folder struct {
	// Name has "/" between its levels, and is otherwise as it stands on disk: names
	// in a Maildir++ are usually in modified UTF-7 (RFC 3501 §5.1.3). It is "" for
	// the directory itself.
	Name string
	Kind Kind
	Path string
}

const (
	maxFolderDepth = 64
	maxFolders     = 100_000
)

// Folders lists the mailboxes in a directory by their names: the directory itself if
// it is a Maildir; its Maildir++ folders (".A.B" is "A/B"); and nested directories
// that are Maildirs or hold .eml files, and files that are an mbox. Symbolic links
// are not followed. Too many folders are an *Error.
func Folders(dir string) ([]Folder, error) {
	l := folderList{}
	st, err := os.Stat(dir)
	if err == nil && !st.IsDir() {
		err = &Error{Path: dir, Msg: "not a directory"}
	}
	if err == nil {
		err = l.walk(dir, "", 0)
	}
	slices.SortFunc(l.folders, func(a, b Folder) int { return strings.Compare(a.Name, b.Name) })
	return l.folders, err
}

type folderList struct{ folders []Folder }

// walk lists dir, a folder with that name, and what is below it.
func (l *folderList) walk(dir, name string, depth int) error {
	if depth > maxFolderDepth || len(l.folders) > maxFolders {
		return &Error{Path: dir, Msg: "too many folders, or too deep"}
	}
	kind, err := recogniseDir(dir)
	if err != nil {
		return err
	}
	if kind != "" {
		l.folders = append(l.folders, Folder{Name: name, Kind: kind, Path: dir})
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := l.entry(dir, name, e, depth); err != nil {
			return err
		}
	}
	return nil
}

func (l *folderList) entry(dir, name string, e fs.DirEntry, depth int) error {
	path := filepath.Join(dir, e.Name())
	inMaildir := isMaildir(dir)
	switch sub, dotted := strings.CutPrefix(e.Name(), "."); {
	case dotted:
		if e.IsDir() && sub != "" && isMaildir(path) {
			sub = strings.ReplaceAll(sub, ".", "/")
			l.folders = append(l.folders, Folder{Name: joinName(name, sub), Kind: KindMaildir, Path: path})
		}
	case e.IsDir():
		if !inMaildir || !slices.Contains(maildirSubs[:], e.Name()) {
			return l.walk(path, joinName(name, e.Name()), depth+1)
		}
	case e.Type().IsRegular() && !inMaildir:
		return l.file(path, joinName(name, e.Name()), e)
	}
	return nil
}

// file adds a file that is an mbox; an empty one might be anything.
func (l *folderList) file(path, name string, e fs.DirEntry) error {
	st, err := e.Info()
	if err != nil || st.Size() == 0 {
		return err
	}
	kind, err := recognise(path, st)
	if kind == KindMbox {
		l.folders = append(l.folders, Folder{Name: name, Kind: kind, Path: path})
	}
	return err
}

func joinName(parent, name string) string {
	if parent == "" {
		return name
	}
	return parent + "/" + name
}
