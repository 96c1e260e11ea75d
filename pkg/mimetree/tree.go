package mimetree

import "io"

// Tree is the structure of a message, without its bodies.
type Tree struct {
	Parts []TreePart // in order, containers before what they hold; the first is the message itself
}

// TreePart is a part of a [Tree].
type TreePart struct {
	*Part
	// Size is the number of octets of the body: decoded for a leaf, as it stands for a container.
	Size int64
}

// ReadTree walks a message and keeps its structure. Every body is decoded, so that the sizes are those of the content and its defects
// are known. It fails as [Walk] does. nil options mean the defaults; Leave is not called.
func ReadTree(r io.Reader, o *WalkOptions) (*Tree, error) {
	var walk WalkOptions
	if o != nil {
		walk = *o
	}
	t := new(Tree)
	at := make(map[*Part]int)
	walk.Leave = func(p *Part) error {
		if p.Container {
			t.Parts[at[p]].Size = p.Size
		}
		return nil
	}
	err := Walk(r, &walk, func(p *Part, body *Body) error {
		at[p] = len(t.Parts)
		t.Parts = append(t.Parts, TreePart{Part: p})
		if p.Container {
			return nil
		}
		n, err := body.WriteTo(io.Discard)
		t.Parts[at[p]].Size = n
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}
