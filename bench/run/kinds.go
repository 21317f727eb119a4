package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/miq/pixel/modules/state"
)

// kinds is a state that says which kinds of keys are asked for, while it is told to count.
type kinds struct {
	state.Keys
	counts atomic.Bool

	mu sync.Mutex
	of map[string]*asked // by what the key begins with
}

// asked is how often keys were found, looked for in vain and written.
type asked struct{ found, missed, written int }

func (k *kinds) count(key string, add func(*asked)) {
	kind, _, _ := strings.Cut(key, ":")
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of[kind] == nil {
		k.of[kind] = &asked{}
	}
	add(k.of[kind])
}

// looked counts a key that was read, and what stood there.
func (k *kinds) looked(key string, stood bool) {
	k.count(key, func(a *asked) {
		if stood {
			a.found++
		} else {
			a.missed++
		}
	})
}

func (k *kinds) wrote(key string) { k.count(key, func(a *asked) { a.written++ }) }

func (k *kinds) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	values, err := k.Keys.Get(ctx, keys...)
	if err == nil && k.counts.Load() {
		for i, v := range values {
			k.looked(keys[i], v != nil)
		}
	}
	return values, err
}

func (k *kinds) Set(ctx context.Context, entries ...state.Entry) error {
	if k.counts.Load() {
		for _, e := range entries {
			k.wrote(e.Key)
		}
	}
	return k.Keys.Set(ctx, entries...)
}

func (k *kinds) Claim(ctx context.Context, entries ...state.Entry) ([][]byte, error) {
	values, err := k.Keys.Claim(ctx, entries...)
	if err == nil && k.counts.Load() {
		for i, v := range values {
			mine := bytes.Equal(v, entries[i].Value)
			if k.looked(entries[i].Key, !mine); mine {
				k.wrote(entries[i].Key)
			}
		}
	}
	return values, err
}

func (k *kinds) SwapAll(ctx context.Context, changes ...state.Change) ([][]byte, error) {
	values, err := k.Keys.SwapAll(ctx, changes...)
	if err == nil && k.counts.Load() {
		for i, v := range values {
			mine := bytes.Equal(v, changes[i].Value)
			if k.looked(changes[i].Key, changes[i].Old != nil || !mine); mine {
				k.wrote(changes[i].Key)
			}
		}
	}
	return values, err
}

// print says it by event, and forgets it.
func (k *kinds) print(events int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fmt.Printf("\n%20s %12s %12s %12s\n", "keys an event", "found", "not found", "written")
	for _, kind := range slices.Sorted(maps.Keys(k.of)) {
		a, n := k.of[kind], float64(events)
		fmt.Printf("%20s %12.3f %12.3f %12.3f\n", kind, float64(a.found)/n, float64(a.missed)/n, float64(a.written)/n)
	}
	fmt.Println()
	clear(k.of)
}
