package api

import (
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/auth"
)

// Node describes this process.
type Node struct {
	ID          int
	Address     string // http://host:port
	Hostname    string
	MemoryMB    uint64
	CPUPercent  float64
	Uptime      time.Duration
	ClusterID   string
	CurrentTerm uint64
	LastApplied uint64
}

// health serves GET /health and /v1/api/healthcheck.
func (s *Server) health(ctx *fasthttp.RequestCtx, client auth.Client) {
	if !client.Local {
		writeDenied(ctx, "Access denied. Health endpoint is localhost-only.")
		return
	}
	write(ctx, fasthttp.StatusOK, struct {
		Status     string `json:"status"`
		Version    string `json:"version"`
		APIVersion string `json:"api_version"`
		BuildDate  string `json:"build_date"`
	}{"healthy", s.o.Version, "v1", s.o.BuildDate})
}

func writeDenied(ctx *fasthttp.RequestCtx, message string) {
	write(ctx, fasthttp.StatusForbidden, struct {
		Error string `json:"error"`
	}{message})
}

// clusterNode is one entry of nodes.
type clusterNode struct {
	NodeID             int     `json:"node_id"`
	Role               string  `json:"role"`
	Status             string  `json:"status"`
	APIAddr            string  `json:"api_addr"`
	IsSelf             bool    `json:"is_self"`
	IsLeader           bool    `json:"is_leader"`
	ReplicationLag     *int    `json:"replication_lag"`
	CatchupProgressPct *int    `json:"catchup_progress_pct"`
	Hostname           string  `json:"hostname"`
	MemoryUsageMB      uint64  `json:"memory_usage_mb"`
	CPUUsagePercent    float64 `json:"cpu_usage_percent"`
	UptimeSeconds      int64   `json:"uptime_seconds"`
	UptimeHuman        string  `json:"uptime_human"`
}

// clusterHealth serves GET /v1/api/cluster/health. A single node is a group of
// one that leads itself; clients of 0.4.3 expect cluster mode to be said.
func (s *Server) clusterHealth(ctx *fasthttp.RequestCtx, client auth.Client) {
	if !client.Local {
		writeDenied(ctx, "Access denied. Cluster health is localhost-only.")
		return
	}
	var n Node
	if s.o.Node != nil {
		n = s.o.Node()
	}
	write(ctx, fasthttp.StatusOK, struct {
		Status               string        `json:"status"`
		Version              string        `json:"version"`
		BuildDate            string        `json:"build_date"`
		IsClusterMode        bool          `json:"is_cluster_mode"`
		ClusterID            string        `json:"cluster_id"`
		NodeID               int           `json:"node_id"`
		IsLeader             bool          `json:"is_leader"`
		TotalGroups          int           `json:"total_groups"`
		GroupsLeading        int           `json:"groups_leading"`
		CurrentTerm          uint64        `json:"current_term"`
		LastApplied          *uint64       `json:"last_applied"`
		MillisSinceQuorumAck *int64        `json:"millis_since_quorum_ack"`
		Nodes                []clusterNode `json:"nodes"`
	}{
		Status: "healthy", Version: s.o.Version, BuildDate: s.o.BuildDate,
		IsClusterMode: true, ClusterID: or(n.ClusterID, "standalone"), NodeID: n.ID,
		IsLeader: true, TotalGroups: 1, GroupsLeading: 1, CurrentTerm: n.CurrentTerm,
		LastApplied: &n.LastApplied, MillisSinceQuorumAck: new(int64),
		Nodes: []clusterNode{{
			NodeID: n.ID, Role: "leader", Status: "active", APIAddr: n.Address, IsSelf: true, IsLeader: true,
			Hostname: n.Hostname, MemoryUsageMB: n.MemoryMB, CPUUsagePercent: n.CPUPercent,
			UptimeSeconds: int64(n.Uptime / time.Second), UptimeHuman: Human(n.Uptime),
		}},
	})
}

// Human writes a duration as "1d 2h 3m 4s", from its first unit that is not 0.
func Human(d time.Duration) string {
	seconds := int64(d / time.Second)
	days, hours, minutes := seconds/86400, seconds/3600%24, seconds/60%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd %dh %dm %ds", days, hours, minutes, seconds%60)
	case hours > 0:
		return fmt.Sprintf("%dh %dm %ds", hours, minutes, seconds%60)
	case minutes > 0:
		return fmt.Sprintf("%dm %ds", minutes, seconds%60)
	}
	return fmt.Sprintf("%ds", seconds)
}
