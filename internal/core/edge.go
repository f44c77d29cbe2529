package core

import "kalamdb/internal/core/live"

// Live queries as edges see them: DB.Hub connects clients, DB.Subscribe opens
// subscriptions. Edges import core only, hence the names.
type (
	// LiveConn is one client connection.
	LiveConn = live.Conn
	// LiveConnOptions describe a connection.
	LiveConnOptions = live.ConnOptions
	// LiveRequest is a subscription as a client asks for it.
	LiveRequest = live.Request
	// LiveSnapshot says what comes before the changes.
	LiveSnapshot = live.Snapshot
	// LiveEncoder turns what the hub has to say into bytes.
	LiveEncoder = live.Encoder
	// LiveFrame is one message to a client.
	LiveFrame = live.Frame
	// LiveFrameKind says what a frame is.
	LiveFrameKind = live.FrameKind
	// LiveAck acknowledges a subscription.
	LiveAck = live.Ack
	// LiveBatch is one page of a snapshot.
	LiveBatch = live.Batch
	// LiveBatchControl says where a snapshot stands.
	LiveBatchControl = live.BatchControl
	// LiveColumn is one column of a subscription's rows.
	LiveColumn = live.Column
	// LiveRow is one row of a frame.
	LiveRow = live.Row
	// LiveChange is what a change frame says beside its subscription.
	LiveChange = live.Change
	// LiveNotice is a frame of an extension.
	LiveNotice = live.Notice
)

// LiveCommit is the notice that ends the changes of one commit.
const LiveCommit = live.NoticeCommit

// The kinds of frames.
const (
	LiveReply       = live.ReplyFrame
	LiveChangeFrame = live.ChangeFrame
	LiveNoticeFrame = live.NoticeFrame
	LiveError       = live.ErrorFrame
)
