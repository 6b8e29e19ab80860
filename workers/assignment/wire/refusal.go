package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/partition"
)

// Between replicas a refusal is a Connect error with these headers.
const (
	kindHeader  = "Hive-Kind"
	retryHeader = "Hive-Retry-After"
)

// PeerError makes a partition's error one of Connect, for Refused to read.
func PeerError(err error) error {
	if err == nil {
		return nil
	}
	kind := KindOf(err)
	code := connect.CodeInternal
	switch kind {
	case Lost:
		code = connect.CodeAborted
	case Other:
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			code = connect.CodeCanceled
		}
	default:
		code = connect.CodeFailedPrecondition
	}
	out := connect.NewError(code, err)
	if kind != Other {
		out.Meta().Set(kindHeader, string(kind))
		out.Meta().Set(retryHeader, RetryAfter(err).String())
	}
	return out
}

// Refused is the inverse of PeerError. What is no partition's answer is an owner that
// cannot be reached: that wraps partition.ErrLost, because whether the call has taken
// effect is not known. The end of ctx is answered as that.
func Refused(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var e *connect.Error
	if errors.As(err, &e) {
		if kind := Kind(e.Meta().Get(kindHeader)); kind != Other {
			after, _ := time.ParseDuration(e.Meta().Get(retryHeader)) // 0 where there is none
			return refusal(kind, e.Message(), after)
		}
	}
	return fmt.Errorf("%w (its owner: %w)", partition.ErrLost, err)
}

func refusal(kind Kind, text string, after time.Duration) error {
	switch kind {
	case Lost:
		return partition.ErrLost
	case NotFound:
		return partition.ErrNotFound
	}
	return &Refusal{Kind: kind, Text: text, RetryAfter: after}
}

// RefusalToProto is an error of one part of a call; nil has no code.
func RefusalToProto(err error) *hivev1.PeerRefusal {
	if err == nil {
		return &hivev1.PeerRefusal{}
	}
	return &hivev1.PeerRefusal{Code: string(KindOf(err)), Text: err.Error(), RetryAfter: durationpb.New(RetryAfter(err))}
}

// RefusalOf is the inverse of RefusalToProto.
func RefusalOf(r *hivev1.PeerRefusal) error {
	if r.GetText() == "" {
		return nil
	}
	return refusal(Kind(r.GetCode()), r.GetText(), r.GetRetryAfter().AsDuration())
}
