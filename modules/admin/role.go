package admin

// Role is what somebody may do in the console and its API.
type Role string

// The roles, least first. Each may do what those before it may.
const (
	Viewer        Role = "viewer"   // reads
	Marketer      Role = "marketer" // changes pixels and their routes
	Administrator Role = "admin"    // everything
)

func (r Role) rank() int {
	switch r {
	case Viewer:
		return 1
	case Marketer:
		return 2
	case Administrator:
		return 3
	}
	return 0
}

// Allows reports whether r may do what needs need.
func (r Role) Allows(need Role) bool { return r.rank() > 0 && r.rank() >= need.rank() }

func (r Role) valid() bool { return r.rank() > 0 }

// principal is who makes a request.
type principal struct {
	Kind string // "user", "token"; empty: nobody
	ID   string
	Name string
	Role Role
	// Advertisers are those whose pixels may be seen and changed; none: all.
	Advertisers []string
	// Scopes narrow a token; none: all that the role may.
	Scopes []string
	// Behind is who made a token: whatever it does, they do.
	Behind string
	// bearer is set where the request proves itself with a header that no other
	// site can make a browser send.
	bearer bool
}

func (p principal) known() bool { return p.Kind != "" }

// CanEdit and CanAdmin are for templates.
func (p principal) CanEdit() bool { return p.Role.Allows(Marketer) }

// CanAdmin reports whether everything is allowed.
func (p principal) CanAdmin() bool { return p.Role.Allows(Administrator) }
