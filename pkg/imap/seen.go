package imap

// seen is a set of UIDs that are met in any order. A UIDSet alone takes long to
// fill with UIDs that descend and leave gaps: here few are moved at a time, and
// each level of the set is merged into the next, which may be four times as
// long, when it is full.
type seen struct{ levels []UIDSet }

// firstLevel is how many ranges the first level has at most.
const firstLevel = 256

func (s *seen) add(uid UID) {
	if len(s.levels) == 0 {
		s.levels = make([]UIDSet, 1, 10)
	}
	s.levels[0].Add(uid)
	for i := 0; len(s.levels[i].Ranges()) > firstLevel<<(2*i); i++ {
		if i+1 == len(s.levels) {
			s.levels = append(s.levels, UIDSet{})
		}
		s.levels[i+1].AddSet(s.levels[i])
		s.levels[i] = UIDSet{}
	}
}

func (s *seen) contains(uid UID) bool {
	for _, level := range s.levels {
		if level.Contains(uid) {
			return true
		}
	}
	return false
}

// set gives all members.
func (s *seen) set() UIDSet {
	var all UIDSet
	for i := len(s.levels) - 1; i >= 0; i-- {
		all.AddSet(s.levels[i])
	}
	return all
}
