package api

import (
	"net"
	"net/netip"
	"strings"

	"kalamdb/internal/auth"
)

// clientOf returns who sent a request. The peer of the connection counts;
// forwarding headers are read only when the peer is loopback or a trusted
// proxy. A forwarded value that claims to be this machine is not believed:
// anybody can write one.
func clientOf(remote net.Addr, forwardedFor, realIP []byte, proxies []netip.Prefix) auth.Client {
	peer := addrOf(remote)
	if len(forwardedFor) == 0 && len(realIP) == 0 || !trusted(peer, proxies) {
		if peer == loopback {
			return auth.Client{IP: "127.0.0.1", Local: true} // most requests of one machine
		}
		return clientAt(peer.String())
	}
	first, rest, listed := strings.Cut(string(forwardedFor), ",")
	if first = hostOf(first); first == "" {
		first = hostOf(string(realIP))
	}
	switch {
	case first == "":
		return clientAt(peer.String())
	case !claimsLocal(first):
		return auth.Client{IP: shorten(first)}
	case listed:
		// The client wrote the first entry himself; the last is the proxy's own.
		last := hostOf(rest[strings.LastIndexByte(rest, ',')+1:])
		if !claimsLocal(last) {
			return auth.Client{IP: shorten(last)}
		}
	}
	return clientAt(peer.String())
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func addrOf(remote net.Addr) netip.Addr {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(tcp.IP)
	return addr.Unmap()
}

func trusted(peer netip.Addr, proxies []netip.Prefix) bool {
	if peer.IsLoopback() {
		return true
	}
	for _, p := range proxies {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// clientAt is the client at the address of the connection itself.
func clientAt(ip string) auth.Client {
	return auth.Client{IP: ip, Local: ip == "127.0.0.1" || ip == "::1"}
}

// claimsLocal reports whether a forwarded value stands for this machine.
func claimsLocal(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && (addr.Unmap().IsLoopback() || addr.IsUnspecified())
}

// hostOf strips blanks, brackets and a port from a forwarded value.
func hostOf(text string) string {
	text = strings.TrimSpace(text)
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().String()
	}
	return strings.Trim(text, "[]")
}

// shorten bounds a forwarded value that is not an address.
func shorten(host string) string { return host[:min(len(host), 64)] }
