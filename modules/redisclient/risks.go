package redisclient

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// The names of risks, as metrics have them.
const (
	NoAOF       = "no_aof"
	NoFsync     = "no_fsync"
	Evicts      = "evicts"
	FewReplicas = "few_replicas"
	Unknown     = "unknown"
)

// Names are all risks.
var Names = []string{NoAOF, NoFsync, Evicts, FewReplicas, Unknown}

// Risk is a way in which a server would lose writes that it acknowledged.
type Risk struct{ Name, Server, Message string }

// Risks asks every master how it keeps what it acknowledges.
func Risks(ctx context.Context, client redis.UniversalClient, replicas int) ([]Risk, error) {
	cluster, is := client.(*redis.ClusterClient)
	if !is {
		return risks(ctx, client, "the server", replicas)
	}
	var mu sync.Mutex
	var all []Risk
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		found, err := risks(ctx, node, node.Options().Addr, replicas)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, found...)
		return err
	})
	slices.SortFunc(all, func(a, b Risk) int { return strings.Compare(a.Server+a.Name, b.Server+b.Name) })
	return all, err
}

func risks(ctx context.Context, node redis.Cmdable, server string, replicas int) ([]Risk, error) {
	info, err := node.Info(ctx, "persistence", "memory", "replication").Result()
	if redis.IsPermissionError(err) {
		return []Risk{{Unknown, server, "our ACL user may not ask how the server keeps what it acknowledges: allow it info, and config|get"}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s how it keeps what it acknowledges: %w", server, err)
	}
	says := map[string]string{}
	for line := range strings.Lines(info) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			says[key] = value
		}
	}
	var found []Risk
	add := func(name, message string, args ...any) {
		found = append(found, Risk{name, server, fmt.Sprintf(message, args...)})
	}
	if says["aof_enabled"] != "1" {
		add(NoAOF, "it keeps no append-only file, so a crash loses events that were answered 202: set appendonly yes")
	} else if fsync, err := node.ConfigGet(ctx, "appendfsync").Result(); err != nil {
		add(Unknown, "it does not say when it syncs its append-only file (allow our ACL user config|get): appendfsync should be everysec, or always")
	} else if fsync["appendfsync"] == "no" {
		add(NoFsync, "appendfsync is no, so a power cut loses what the kernel has not written yet, often half a minute: set everysec, which loses a second, or always")
	}
	if policy := says["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		add(Evicts, "maxmemory-policy is %s, so once maxmemory is reached it deletes events, consent and the ledger to make room: set noeviction", policy)
	}
	if n, _ := strconv.Atoi(says["connected_slaves"]); n < replicas {
		add(FewReplicas, "redis.wait_replicas is %d, and it has %d: every push fails until there are more", replicas, n)
	}
	return found, nil
}
