package config

import (
	"regexp"
	"strings"
	"time"
)

// bucket is what a bucket may be called.
var bucket = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// Folder is the archive's folder; ok is false where it is in a bucket.
func (a Archive) Folder() (path string, ok bool) { return strings.CutPrefix(a.URL, "file://") }

// Bucket is the archive's bucket, and what the names in it begin with; ok is false
// where it is in a folder.
func (a Archive) Bucket() (name, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(a.URL, "s3://")
	name, prefix, _ = strings.Cut(rest, "/")
	return name, strings.Trim(prefix, "/"), ok
}

func (a Archive) check(bad *Invalid) {
	folder, local := a.Folder()
	name, prefix, remote := a.Bucket()
	switch {
	case local && folder == "":
		bad.add("archive.url", "must name a folder, such as file:///var/lib/pixel/archive")
	case remote && !bucket.MatchString(name):
		bad.add("archive.url", "must name a bucket, such as s3://my-bucket/pixel, not %q", name)
	case remote && (strings.Contains(prefix, "//") || strings.ContainsAny(prefix, "*?[]{}\\\x00")):
		bad.add("archive.url", "must have a plain path behind the bucket, not %q", prefix)
	case !local && !remote:
		bad.add("archive.url", "must begin with file:// and name a folder, or with s3:// and name a bucket")
	}
	if a.FileEvery < time.Minute || a.FileEvery > 6*time.Hour {
		bad.add("archive.file_every", "must be from 1m to 6h")
	}
	webURL(bad, "archive.s3.endpoint", a.S3.Endpoint)
	switch a.S3.SSE {
	case "", "AES256":
		if a.S3.KMSKey != "" {
			bad.add("archive.s3.kms_key", "is for archive.s3.sse: aws:kms alone")
		}
	case "aws:kms", "aws:kms:dsse":
	default:
		bad.add("archive.s3.sse", "must be empty, AES256, aws:kms or aws:kms:dsse, not %q", a.S3.SSE)
	}
	if a.S3.Timeout < time.Second || a.S3.Timeout > 20*time.Second {
		bad.add("archive.s3.timeout", "must be from 1s to 20s, so that a worker's batch is tried again within its lease")
	}
	if a.S3.Attempts < 1 || a.S3.Attempts > 10 {
		bad.add("archive.s3.attempts", "must be from 1 to 10")
	}
}
