package identity

import "context"

var background = context.Background()
