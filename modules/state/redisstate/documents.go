package redisstate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/state"
)

func docs(collection string) string    { return "docs:{" + collection + "}" }
func version(collection string) string { return "docs:{" + collection + "}:version" }

// listScript reads the documents and the version in one moment. It says that it writes
// nothing, so that a server whose memory is full runs it too, which refuses a transaction.
//
//	KEYS  1 documents  2 version
//	→     {version, {id, revision:body, id, …}}
var listScript = redis.NewScript(`#!lua flags=no-writes
return {redis.call('GET', KEYS[2]) or '0', redis.call('HGETALL', KEYS[1])}
`)

// List is a script.
func (s *Store) List(ctx context.Context, collection string) ([]state.Document, int64, error) {
	read, err := listScript.Run(ctx, s.redis, []string{docs(collection), version(collection)}).Slice()
	if err != nil {
		return nil, 0, failed("list "+collection, err)
	}
	var out []state.Document
	for pair := range slices.Chunk(read[1].([]any), 2) {
		id := pair[0].(string)
		revision, body, _ := bytes.Cut([]byte(pair[1].(string)), []byte(":"))
		n, err := strconv.ParseInt(string(revision), 10, 64)
		if err != nil {
			return nil, 0, fmt.Errorf("list %s: document %s has no revision", collection, id)
		}
		out = append(out, state.Document{ID: id, Body: body, Revision: n})
	}
	slices.SortFunc(out, func(a, b state.Document) int { return strings.Compare(a.ID, b.ID) })
	n, err := strconv.ParseInt(read[0].(string), 10, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("list %s: %w", collection, err)
	}
	return out, n, nil
}

// Version is a GET.
func (s *Store) Version(ctx context.Context, collection string) (int64, error) {
	n, err := s.redis.Get(ctx, version(collection)).Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, failed("read the version of "+collection, err)
	}
	return n, nil
}

// putScript writes a document that has not changed.
//
//	KEYS  1 documents  2 version
//	ARGV  1 id  2 the revision it must have, 0 if it must be absent  3 body
//	→     the new revision, 0 if it had another
var putScript = redis.NewScript(`
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local revision = '0'
if stored then revision = string.match(stored, '^(%d+):') end
if revision ~= ARGV[2] then return 0 end
local next = tonumber(revision) + 1
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', next) .. ':' .. ARGV[3])
redis.call('INCR', KEYS[2])
return next
`)

// Put is a script.
func (s *Store) Put(ctx context.Context, collection string, doc state.Document) (int64, error) {
	revision, err := putScript.Run(ctx, s.redis, []string{docs(collection), version(collection)}, doc.ID, doc.Revision, string(doc.Body)).Int64()
	if err != nil {
		return 0, failed("put "+doc.ID+" in "+collection, err)
	}
	if revision == 0 {
		return 0, fmt.Errorf("put %s in %s: %w", doc.ID, collection, state.ErrConflict)
	}
	return revision, nil
}

// removeScript deletes a document.
//
//	KEYS  1 documents  2 version
//	ARGV  1 id
//	→     1 if it was there
var removeScript = redis.NewScript(`
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('INCR', KEYS[2])
return 1
`)

// Remove is a script.
func (s *Store) Remove(ctx context.Context, collection, id string) error {
	if err := removeScript.Run(ctx, s.redis, []string{docs(collection), version(collection)}, id).Err(); err != nil {
		return failed("remove "+id+" from "+collection, err)
	}
	return nil
}
