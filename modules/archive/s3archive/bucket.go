// Package s3archive keeps the archive in a bucket of S3, or of a server that speaks
// its protocol: see package lake for what lies there.
//
// Every request has a time limit and a bounded number of tries, so that a bucket
// that is slow or away is an error within seconds and never a worker that hangs.
// Objects above 8 MiB go in parts, a few at a time; each request carries a checksum
// that the server verifies, and what is read is verified by the one stored with it.
package s3archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/archive/lake"
)

const (
	// partSize is also the size above which an object goes in parts.
	partSize = 8 << 20
	parallel = 4
	// maxDelete is how many objects one request deletes.
	maxDelete = 1000
)

// Bucket is a lake.Store.
type Bucket struct {
	name, prefix string // prefix ends with a slash, or is empty
	config       config.ArchiveS3
	client       *s3.Client
	transfer     *transfermanager.Client
}

var _ lake.Store = (*Bucket)(nil)

// NewBucket returns the store at an s3:// address. It asks for credentials when they
// are first needed, and makes no request.
func NewBucket(ctx context.Context, c config.Archive) (*Bucket, error) {
	return newBucket(ctx, c, 2*time.Second)
}

// newBucket waits for at most maxBackoff before it makes a request again.
func newBucket(ctx context.Context, c config.Archive, maxBackoff time.Duration) (*Bucket, error) {
	name, prefix, ok := c.Bucket()
	if !ok {
		return nil, fmt.Errorf("archive.url %q is no bucket", c.URL)
	}
	if prefix != "" {
		prefix += "/"
	}
	load := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithHTTPClient(newClient(c.S3.Timeout)),
		awsconfig.WithLogger(logging.Nop{}), // beside our log it would write what its errors say too
		awsconfig.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = c.S3.Attempts
				o.MaxBackoff = maxBackoff
			})
		}),
		awsconfig.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenSupported),
		awsconfig.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenSupported),
	}
	if c.S3.Region != "" {
		load = append(load, awsconfig.WithRegion(c.S3.Region))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("read AWS's settings: %w", err)
	}
	if loaded.Region == "" {
		if c.S3.Endpoint == "" {
			return nil, errors.New("archive.s3.region is not set, and neither is AWS_REGION: say where the bucket is")
		}
		loaded.Region = "us-east-1" // other servers do not mind
	}
	b := &Bucket{name: name, prefix: prefix, config: c.S3}
	b.client = s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = c.S3.PathStyle
		o.DisableLogOutputChecksumValidationSkipped = true // not all servers keep them
		if c.S3.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.S3.Endpoint)
		}
	})
	b.transfer = transfermanager.New(b.client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency = partSize, partSize, parallel
		o.FailTimeout = 10 * time.Second
	})
	return b, nil
}

// newClient bounds each request, its answer's body included.
func newClient(timeout time.Duration) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTimeout(timeout).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = min(timeout, 5*time.Second) }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = min(timeout, 5*time.Second)
			t.ResponseHeaderTimeout = timeout
			t.MaxIdleConnsPerHost = 32
			t.IdleConnTimeout = 60 * time.Second
		})
}

func (b *Bucket) key(name string) *string { return aws.String(b.prefix + name) }

// Put is a lake.Store's.
func (b *Bucket) Put(ctx context.Context, name string, body []byte, fresh bool) error {
	var err error
	if len(body) > partSize {
		err = b.putParts(ctx, name, body, fresh)
	} else {
		in := &s3.PutObjectInput{
			Bucket: &b.name, Key: b.key(name), Body: bytes.NewReader(body), ContentType: aws.String(contentType(name)),
			ServerSideEncryption: types.ServerSideEncryption(b.config.SSE), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
		}
		if b.config.KMSKey != "" {
			in.SSEKMSKeyId = &b.config.KMSKey
		}
		if fresh {
			in.IfNoneMatch = aws.String("*")
		}
		_, err = b.client.PutObject(ctx, in)
	}
	if taken(err) {
		// Of a request that was tried again, the first may be who took the name.
		if is, same := b.Get(ctx, name); same == nil && bytes.Equal(is, body) {
			return nil
		}
		return fmt.Errorf("%s: %w", name, lake.ErrExists)
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", name, plain(err))
	}
	return nil
}

func (b *Bucket) putParts(ctx context.Context, name string, body []byte, fresh bool) error {
	in := &transfermanager.UploadObjectInput{
		Bucket: &b.name, Key: b.key(name), Body: bytes.NewReader(body), ContentType: aws.String(contentType(name)),
		ServerSideEncryption: tmtypes.ServerSideEncryption(b.config.SSE), ChecksumAlgorithm: tmtypes.ChecksumAlgorithmCrc32c,
	}
	if b.config.KMSKey != "" {
		in.SSEKMSKeyID = &b.config.KMSKey
	}
	if fresh {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := b.transfer.UploadObject(ctx, in)
	return err
}

func contentType(name string) string {
	switch {
	case strings.HasSuffix(name, ".json"):
		return "application/json"
	case strings.HasSuffix(name, ".parquet"):
		return "application/vnd.apache.parquet"
	}
	return "application/octet-stream"
}

// Get is a lake.Store's.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, error) {
	var err error
	// A body that breaks off is not tried again by the client.
	for range max(1, b.config.Attempts) {
		var body []byte
		if body, err = b.get(ctx, name); err == nil {
			return body, nil
		}
		if errors.Is(err, lake.ErrGone) || ctx.Err() != nil {
			return nil, err
		}
		if _, answered := errors.AsType[smithy.APIError](err); answered {
			break
		}
	}
	return nil, fmt.Errorf("get %s: %w", name, plain(err))
}

func (b *Bucket) get(ctx context.Context, name string) ([]byte, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: b.key(name), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		if missing(err) {
			return nil, lake.ErrGone
		}
		return nil, err
	}
	defer out.Body.Close()
	var buf bytes.Buffer
	if n := aws.ToInt64(out.ContentLength); n > 0 && n < 1<<30 {
		buf.Grow(int(n))
	}
	_, err = io.Copy(&buf, out.Body)
	return buf.Bytes(), err
}

// List is a lake.Store's.
func (b *Bucket) List(ctx context.Context, folder string) ([]lake.Object, error) {
	var all []lake.Object
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: b.key(folder + "/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", folder, plain(err))
		}
		for _, o := range page.Contents {
			all = append(all, lake.Object{Name: strings.TrimPrefix(aws.ToString(o.Key), b.prefix), Size: aws.ToInt64(o.Size)})
		}
	}
	return all, nil
}

// Folders is a lake.Store's.
func (b *Bucket) Folders(ctx context.Context, folder string) ([]string, error) {
	prefix := b.prefix
	if folder != "" {
		prefix += folder + "/"
	}
	var names []string
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix, Delimiter: aws.String("/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", folder, plain(err))
		}
		for _, p := range page.CommonPrefixes {
			names = append(names, strings.TrimSuffix(strings.TrimPrefix(aws.ToString(p.Prefix), prefix), "/"))
		}
	}
	return names, nil
}

// Delete is a lake.Store's.
func (b *Bucket) Delete(ctx context.Context, names ...string) error {
	for len(names) > 0 {
		some := names[:min(len(names), maxDelete)]
		names = names[len(some):]
		ids := make([]types.ObjectIdentifier, len(some))
		for i, name := range some {
			ids[i] = types.ObjectIdentifier{Key: b.key(name)}
		}
		out, err := b.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &b.name, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}})
		if err != nil {
			return fmt.Errorf("delete %d objects: %w", len(some), plain(err))
		}
		for _, e := range out.Errors {
			if aws.ToString(e.Code) != "NoSuchKey" {
				return fmt.Errorf("delete %s: %s: %s", aws.ToString(e.Key), aws.ToString(e.Code), aws.ToString(e.Message))
			}
		}
	}
	return nil
}

// Check reports whether the bucket answers, and lets us in.
func (b *Bucket) Check(ctx context.Context) error {
	_, err := b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &b.prefix, MaxKeys: aws.Int32(1)})
	if err != nil {
		return fmt.Errorf("the archive's bucket %s: %w", b.name, plain(err))
	}
	return nil
}

func missing(err error) bool {
	var gone *types.NoSuchKey
	if errors.As(err, &gone) {
		return true
	}
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && (e.ErrorCode() == "NotFound" || e.ErrorCode() == "NoSuchKey")
}

// taken reports whether a name was not free. 409 says that another request for it is
// under way.
func taken(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && (e.ErrorCode() == "PreconditionFailed" || e.ErrorCode() == "ConditionalRequestConflict")
}

// plain says in few words what the server or the network said; the client's own
// error repeats itself for each layer.
func plain(err error) error {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		if e.ErrorMessage() == "" || e.ErrorMessage() == e.ErrorCode() {
			return fmt.Errorf("the server answered %s", e.ErrorCode())
		}
		return fmt.Errorf("the server answered %s: %s", e.ErrorCode(), e.ErrorMessage())
	}
	return err
}

// New returns the archive in a bucket.
func New(ctx context.Context, c config.Archive, o lake.Options) (*lake.Lake, *Bucket, error) {
	b, err := NewBucket(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	l, err := lake.New(b, o)
	return l, b, err
}
