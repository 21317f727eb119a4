package settings

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/state"
)

// The collections that the settings are kept in.
const (
	pixels   = "pixels"
	partners = "partners"
)

// refresh is how often a replica asks whether its copy is the newest.
const refresh = time.Second

// ErrNotFound says that there is no pixel of that id.
var ErrNotFound = errors.New("no such pixel")

// Store keeps the settings in the shared state and a copy of them in memory.
type Store struct {
	docs state.Documents
	box  *secret.Box
	log  *slog.Logger

	receipts receipts

	copy      Copy
	saving    sync.Mutex // one refresh at a time; of these too:
	confirmed time.Time  // when copy was last in line
	uncopied  bool       // it cannot be written
	now       atomic.Pointer[snapshot]
	stop      context.CancelFunc
	done      chan struct{}
}

type snapshot struct {
	pixels          map[string]Pixel
	partners        map[string]Partner
	pixelsVersion   int64
	partnersVersion int64
}

// New returns a store that has read nothing yet: Start does.
func New(docs state.Documents, box *secret.Box, log *slog.Logger) *Store {
	return WithCopy(docs, box, log, "")
}

// WithCopy is New with a copy on the disk, from which it starts where the shared
// state is away.
func WithCopy(docs state.Documents, box *secret.Box, log *slog.Logger, copy Copy) *Store {
	s := &Store{docs: docs, box: box, log: log, copy: copy}
	s.now.Store(&snapshot{pixelsVersion: -1, partnersVersion: -1})
	return s
}

// Start reads everything once and then keeps the copy fresh until Stop.
func (s *Store) Start(ctx context.Context) error {
	err := s.Refresh(ctx)
	if err != nil {
		err = s.recall(err)
	} else {
		s.sealAgain(ctx)
	}
	if err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.done = stop, make(chan struct{})
	go func() {
		defer close(s.done)
		tick := time.NewTicker(refresh)
		defer tick.Stop()
		healthy := true
		for {
			select {
			case <-run.Done():
				return
			case <-tick.C:
			}
			err := s.Refresh(run)
			if err != nil && healthy && run.Err() == nil {
				s.log.Warn("settings could not be refreshed; the last ones stay in force", "error", err)
			}
			healthy = err == nil
		}
	}()
	return nil
}

// Stop ends what Start began.
func (s *Store) Stop() {
	if s.stop != nil {
		s.stop()
		<-s.done
	}
}

// Refresh reads what changed since the last time.
func (s *Store) Refresh(ctx context.Context) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	old := s.now.Load()
	next := *old
	var err error
	if next.pixels, next.pixelsVersion, err = load(ctx, s.docs, pixels, old.pixels, old.pixelsVersion, func(p *Pixel, d state.Document) string {
		p.Revision = d.Revision
		return p.ID
	}); err != nil {
		return err
	}
	if next.partners, next.partnersVersion, err = load(ctx, s.docs, partners, old.partners, old.partnersVersion, func(p *Partner, d state.Document) string {
		p.Revision = d.Revision
		return p.Name
	}); err != nil {
		return err
	}
	if next.pixelsVersion != old.pixelsVersion || next.partnersVersion != old.partnersVersion {
		s.now.Store(&next)
		s.receipts.applied(&next, time.Now().UTC())
	}
	s.keep(next.pixelsVersion != old.pixelsVersion)
	return nil
}

func load[T any](ctx context.Context, docs state.Documents, collection string, old map[string]T, version int64, key func(*T, state.Document) string) (map[string]T, int64, error) {
	newest, err := docs.Version(ctx, collection)
	if err != nil || newest == version {
		return old, version, err
	}
	list, newest, err := docs.List(ctx, collection)
	if err != nil {
		return old, version, err
	}
	all := make(map[string]T, len(list))
	for _, d := range list {
		var v T
		if err := json.Unmarshal(d.Body, &v); err != nil {
			return old, version, fmt.Errorf("%s %s: %w", collection, d.ID, err)
		}
		all[key(&v, d)] = v
	}
	return all, newest, nil
}

// Pixel returns a pixel from the copy in memory. Callers must not change it.
func (s *Store) Pixel(id string) (Pixel, bool) {
	p, ok := s.now.Load().pixels[id]
	return p, ok
}

// Pixels returns all pixels, by id.
func (s *Store) Pixels() []Pixel {
	m := s.now.Load().pixels
	list := make([]Pixel, 0, len(m))
	for _, p := range m {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Pixel) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Partner returns a partner's settings; one that nobody touched is on.
func (s *Store) Partner(name string) Partner {
	if p, ok := s.now.Load().partners[name]; ok {
		return p
	}
	return Partner{Name: name, Mode: On}
}

// Versions identify the copy in force, so that replicas can be compared.
func (s *Store) Versions() (pixels, partners int64) {
	n := s.now.Load()
	return n.pixelsVersion, n.partnersVersion
}

// SavePixel writes a pixel whose Revision is that of the one it replaces, 0 for
// a new one. It returns what was stored, an Invalid, or state.ErrConflict.
func (s *Store) SavePixel(ctx context.Context, p Pixel) (Pixel, error) {
	if err := p.Validate(); err != nil {
		return p, err
	}
	p.UpdatedAt = time.Now().UTC().Truncate(time.Millisecond)
	if p.CreatedAt.IsZero() {
		p.CreatedAt = p.UpdatedAt
	}
	rev, err := s.put(ctx, pixels, p.ID, p.Revision, p)
	if err != nil {
		return p, err
	}
	p.Revision = rev
	return p, s.Refresh(ctx)
}

// RemovePixel deletes a pixel; its tag is answered 404 from then on.
func (s *Store) RemovePixel(ctx context.Context, id string) error {
	if err := s.docs.Remove(ctx, pixels, id); err != nil {
		return err
	}
	return s.Refresh(ctx)
}

// SavePartner writes a partner's settings, as SavePixel does a pixel's.
func (s *Store) SavePartner(ctx context.Context, p Partner) (Partner, error) {
	if err := p.Validate(); err != nil {
		return p, err
	}
	p.UpdatedAt = time.Now().UTC().Truncate(time.Millisecond)
	rev, err := s.put(ctx, partners, p.Name, p.Revision, p)
	if err != nil {
		return p, err
	}
	p.Revision = rev
	return p, s.Refresh(ctx)
}

func (s *Store) put(ctx context.Context, collection, id string, revision int64, v any) (int64, error) {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return 0, err
	}
	return s.docs.Put(ctx, collection, state.Document{ID: id, Body: body, Revision: revision})
}

// SealCredentials encrypts a partner's credentials into p: those of an account, or
// the partner's own where that is empty. Nil credentials remove an account.
func (s *Store) SealCredentials(p *Partner, account string, credentials map[string]string) error {
	if account != "" && credentials == nil {
		p.Accounts = maps.Clone(p.Accounts)
		delete(p.Accounts, account)
		return nil
	}
	body, err := json.Marshal(credentials, json.Deterministic(true))
	if err != nil {
		return err
	}
	sealed := s.box.Seal(sealName(p.Name, account), body)
	if account == "" {
		p.Sealed = sealed
		return nil
	}
	// The map may be that of the copy in memory, which others read.
	accounts := maps.Clone(p.Accounts)
	if accounts == nil {
		accounts = map[string][]byte{}
	}
	accounts[account] = sealed
	p.Accounts = accounts
	return nil
}

func sealName(partner, account string) string {
	if account == "" {
		return "partner:" + partner
	}
	return "partner:" + partner + ":" + account
}

// sealed is what is kept of an account.
func (p Partner) sealed(account string) []byte {
	if account == "" {
		return p.Sealed
	}
	return p.Accounts[account]
}

// Names are the partner's accounts: its own, "", and the further ones.
func (p Partner) Names() []string {
	return append([]string{""}, slices.Sorted(maps.Keys(p.Accounts))...)
}

// sealAgain seals with the key of today what an older one sealed. Of several
// replicas that do so at once one wins, and the others have it from there.
func (s *Store) sealAgain(ctx context.Context) {
	changed := false
	for _, p := range s.now.Load().partners {
		var err error
		stale := false
		for _, account := range p.Names() {
			sealed := p.sealed(account)
			if len(sealed) == 0 || !s.box.Stale(sealName(p.Name, account), sealed) {
				continue
			}
			var c map[string]string
			if c, err = s.Credentials(p, account); err == nil {
				err = s.SealCredentials(&p, account, c)
			}
			if stale = true; err != nil {
				break
			}
		}
		if !stale {
			continue
		}
		if err == nil {
			_, err = s.put(ctx, partners, p.Name, p.Revision, p)
		}
		switch {
		case err == nil:
			s.log.Info("credentials are sealed with the new secret_key", "partner", p.Name)
		case !errors.Is(err, state.ErrConflict):
			s.log.Warn("credentials could not be sealed with the new secret_key; the old one is still needed", "partner", p.Name, "error", err)
		}
		changed = true
	}
	if !changed {
		return
	}
	if err := s.Refresh(ctx); err != nil {
		s.log.Warn("settings could not be read again", "error", err)
	}
}

// Credentials decrypts an account's credentials, or the partner's own where that
// is empty; none is an empty map.
func (s *Store) Credentials(p Partner, account string) (map[string]string, error) {
	c := map[string]string{}
	sealed := p.sealed(account)
	if len(sealed) == 0 {
		return c, nil
	}
	body, err := s.box.Open(sealName(p.Name, account), sealed)
	if err != nil {
		return nil, fmt.Errorf("credentials of %s: %w", p.Name, err)
	}
	return c, json.Unmarshal(body, &c)
}
