package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mail-toolkit/mail/pkg/store"
)

// listing is what files the folder of a mailbox has, in 16 octets each.
type listing struct {
	dir      string
	subs     []string
	seed     maphash.Seed
	files    []listedFile // by hash
	suffixes []string     // what follows ":" in their names, each once
}

type listedFile struct {
	hash   uint64 // of the name without info
	suffix uint32 // place in suffixes times 2, plus the place of the directory in subs
	seen   bool
}

// list reads the names in the folder of a mailbox. A folder that is not there is
// empty.
func (r *Repo) list(dir string) (*listing, error) { return r.listAbout(dir, 0) }

// listAbout is list of a folder in which about n files are: what grows takes twice the
// memory.
func (r *Repo) listAbout(dir string, n int) (*listing, error) {
	l := &listing{dir: dir, subs: r.subs(), seed: maphash.MakeSeed(), files: make([]listedFile, 0, n)}
	known := map[string]uint32{}
	err := r.eachFile(l, func(sub uint32, base, suffix string) error {
		l.files = append(l.files, listedFile{hash: maphash.String(l.seed, base), suffix: l.number(known, sub, suffix)})
		return nil
	})
	slices.SortFunc(l.files, func(a, b listedFile) int { return cmp.Compare(a.hash, b.hash) })
	return l, err
}

// number returns what a listedFile has as suffix. known are the places in suffixes.
func (l *listing) number(known map[string]uint32, sub uint32, suffix string) uint32 {
	n, ok := known[suffix]
	if !ok {
		n = uint32(len(l.suffixes))
		known[suffix] = n
		l.suffixes = append(l.suffixes, suffix)
	}
	return 2*n + sub
}

// eachFile calls fn for each name in the directories of a listing.
func (r *Repo) eachFile(l *listing, fn func(sub uint32, base, suffix string) error) error {
	for n, sub := range l.subs {
		err := r.eachName(path.Join(l.dir, sub), func(name string) error {
			if r.settings.Format == FormatEML && path.Ext(name) != emlSuffix {
				return nil // other things live there too
			}
			base, suffix := r.cutName(name)
			return fn(uint32(n), base, suffix)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// find returns the path of the file with that name, and the place where it says
// that it was seen.
func (l *listing) find(base string) (name string, file *listedFile, ok bool) {
	hash := maphash.String(l.seed, base)
	i, ok := l.first(hash)
	if !ok {
		return "", nil, false
	}
	f := &l.files[i]
	return path.Join(l.dir, l.subs[f.suffix%2], base+l.suffixes[f.suffix/2]), f, true
}

// first is the place of the first file with that hash.
func (l *listing) first(hash uint64) (i int, ok bool) {
	return slices.BinarySearchFunc(l.files, hash, func(f listedFile, h uint64) int { return cmp.Compare(f.hash, h) })
}

// unseen reports whether a file is listed and was not seen.
func (l *listing) unseen(sub uint32, base, suffix string) bool {
	hash := maphash.String(l.seed, base)
	i, _ := l.first(hash)
	for ; i < len(l.files) && l.files[i].hash == hash; i++ {
		if f := &l.files[i]; !f.seen && f.suffix%2 == sub && l.suffixes[f.suffix/2] == suffix {
			return true
		}
	}
	return false
}

// byMailbox returns all entries, by mailbox and then in the order of the manifest.
func (x *index) byMailbox() []ref {
	list := make([]ref, x.entries.n)
	for i := range list {
		list[i] = ref(i)
	}
	slices.SortStableFunc(list, func(a, b ref) int { return cmp.Compare(x.entries.at(a).box, x.entries.at(b).box) })
	return list
}

// hashJob is a file of which the digest is wanted.
type hashJob struct {
	name   string // path below the repository
	size   int64  // octets, as the directory tells
	id     fileID // set where the file has several names
	digest store.Digest
	err    error // errNotRegular too; such a file is not read
}

const (
	hashWorkers = 4
	hashFiles   = 512 // computed at a time
	hashOctets  = 64 << 20
)

// job asks the file system about a file.
func (r *Repo) job(name string) *hashJob {
	j := &hashJob{name: name}
	j.size, j.id, j.err = r.stat(name)
	return j
}

// hashAll computes the digests of files.
func (r *Repo) hashAll(ctx context.Context, jobs []*hashJob) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(hashWorkers, runtime.GOMAXPROCS(0), len(jobs)) {
		wg.Go(func() {
			buf := copyBuffers.Get().(*[32 << 10]byte)
			defer copyBuffers.Put(buf)
			for {
				i := int(next.Add(1) - 1)
				if i >= len(jobs) || ctx.Err() != nil {
					return
				}
				if j := jobs[i]; j.err == nil {
					j.digest, j.err = r.hashFile(ctx, j.name, buf[:])
				}
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// hashFile returns the digest of the file of a message.
func (r *Repo) hashFile(ctx context.Context, name string, buf []byte) (d store.Digest, err error) {
	f, err := r.openMessage(name)
	if err != nil {
		return d, err
	}
	defer f.Close()
	return hashOf(ctx, f, buf)
}

// hashOf returns the digest of what a reader gives.
func hashOf(ctx context.Context, f io.Reader, buf []byte) (d store.Digest, err error) {
	sum := sha256.New()
	for {
		if err := ctx.Err(); err != nil {
			return d, err
		}
		n, err := f.Read(buf)
		sum.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return d, err
		}
	}
	return store.Digest(sum.Sum(nil)), nil
}

// walk calls fn for what is in the repository, but for its own directory and those
// for which skip is true: with the directory and the name in it.
func (r *Repo) walk(ctx context.Context, skip func(dir string) bool, fn func(dir, name string) error) error {
	todo := []string{"."}
	for len(todo) > 0 {
		dir := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		err := r.eachEntry(ctx, dir, func(e fs.DirEntry) error {
			name := path.Join(dir, e.Name())
			switch {
			case name == metaDir || e.IsDir() && skip(name):
			case e.IsDir():
				todo = append(todo, name)
			default:
				return fn(dir, e.Name())
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachEntry calls fn for each entry of a directory. One that is not there is an empty
// one.
func (r *Repo) eachEntry(ctx context.Context, dir string, fn func(fs.DirEntry) error) error {
	d, err := r.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := d.ReadDir(1000)
		for _, e := range entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
