package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	zone = ".svc.cluster.local"
	// How long an answer may be kept, in seconds: what CoreDNS says for the names of a cluster.
	ttl = 5
	// Above this size an answer by UDP is cut, and the client asks again by TCP (RFC 1035, 4.2.1).
	udpBytesMax = 512
	// How long a client may take on a TCP connection.
	patience = 10 * time.Second
)

// The DNS of the cluster: addresses of Services, and of the pods behind those without an address of their own, as
// https://github.com/kubernetes/dns/blob/master/docs/specification.md says. It asks nobody else: other names are none.
type resolver struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

func runDNS() int {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	listen := flag.String("listen", "127.0.0.1:53", "address to answer on, by UDP and TCP")
	flag.Parse()
	if err := serveDNS(*kubeconfig, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "dns:", err)
	}
	return 1
}

// serveDNS answers until it cannot any more.
func serveDNS(kubeconfig, listen string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	resolver := resolver{
		services: factory.Core().V1().Services().Lister(),
		slices:   factory.Discovery().V1().EndpointSlices().Lister(),
	}
	ctx := context.Background()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	packets, err := net.ListenPacket("udp", listen)
	if err != nil {
		return err
	}
	connections, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	failed := make(chan error)
	go func() { failed <- resolver.servePackets(packets) }()
	go func() { failed <- resolver.serveConnections(connections) }()
	return <-failed
}

func (r resolver) servePackets(socket net.PacketConn) error {
	query := make([]byte, udpBytesMax)
	for {
		length, client, err := socket.ReadFrom(query)
		if err != nil {
			return err
		}
		if answer := r.answer(query[:length], udpBytesMax); answer != nil {
			_, _ = socket.WriteTo(answer, client) // a lost answer is asked for again
		}
	}
}

func (r resolver) serveConnections(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go r.serveConnection(connection)
	}
}

// serveConnection answers one query after the other, each behind its length (RFC 1035, 4.2.2).
func (r resolver) serveConnection(connection net.Conn) {
	defer connection.Close()
	for {
		_ = connection.SetDeadline(time.Now().Add(patience))
		var length uint16
		if binary.Read(connection, binary.BigEndian, &length) != nil {
			return
		}
		query := make([]byte, length)
		if _, err := io.ReadFull(connection, query); err != nil {
			return
		}
		answer := r.answer(query, 1<<16-1)
		if answer == nil {
			return
		}
		framed := binary.BigEndian.AppendUint16(nil, uint16(len(answer)))
		if _, err := connection.Write(append(framed, answer...)); err != nil {
			return
		}
	}
}

// answer returns the answer to a query, or nothing if it is no query. What is longer than bytesMax is left out, and the
// answer says so.
func (r resolver) answer(query []byte, bytesMax int) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil || header.Response {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return nil
	}
	found, known := r.lookUp(strings.ToLower(question.Name.String()))
	reply := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID:                 header.ID,
			Response:           true,
			Authoritative:      true,
			RecursionDesired:   header.RecursionDesired,
			RecursionAvailable: true,
		},
		Questions: []dnsmessage.Question{question},
		Answers:   found.records(question),
	}
	if !known {
		reply.RCode = dnsmessage.RCodeNameError
	}
	packed, err := reply.Pack()
	if err == nil && len(packed) > bytesMax {
		reply.Truncated, reply.Answers = true, nil
		packed, err = reply.Pack()
	}
	if err != nil {
		return nil
	}
	return packed
}

// What a name stands for: addresses, or another name.
type target struct {
	addresses []string
	alias     string
}

// lookUp finds what stands behind `SERVICE.NAMESPACE` or `HOST.SERVICE.NAMESPACE` in the zone, and whether there is such
// a name at all.
func (r resolver) lookUp(name string) (target, bool) {
	inner, within := strings.CutSuffix(strings.TrimSuffix(name, "."), zone)
	parts := strings.Split(inner, ".")
	if !within || len(parts) < 2 || len(parts) > 3 {
		return target{}, false
	}
	own := parts[len(parts)-2:]
	service, err := r.services.Services(own[1]).Get(own[0])
	if err != nil {
		return target{}, false
	}
	headless := service.Spec.ClusterIP == core.ClusterIPNone
	switch {
	case service.Spec.Type == core.ServiceTypeExternalName && len(parts) == 2:
		return target{alias: service.Spec.ExternalName}, true
	case headless && len(parts) == 2:
		found := r.endpoints(service, func(discovery.Endpoint) bool { return true })
		return found, len(found.addresses) > 0
	case headless:
		found := r.endpoints(service, func(endpoint discovery.Endpoint) bool {
			return endpoint.Hostname != nil && *endpoint.Hostname == parts[0]
		})
		return found, len(found.addresses) > 0
	default:
		return target{addresses: service.Spec.ClusterIPs}, len(parts) == 2
	}
}

// endpoints returns the addresses of the ready pods of a service that are wanted.
func (r resolver) endpoints(service *core.Service, wanted func(discovery.Endpoint) bool) target {
	ofService := labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: service.Name})
	slices, err := r.slices.EndpointSlices(service.Namespace).List(ofService)
	if err != nil {
		return target{}
	}
	var found target
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			ready := endpoint.Conditions.Ready
			if (ready == nil || *ready) && wanted(endpoint) {
				found.addresses = append(found.addresses, endpoint.Addresses...)
			}
		}
	}
	return found
}

// records returns what is true of the name in the question and was asked for.
func (t target) records(question dnsmessage.Question) []dnsmessage.Resource {
	var found []dnsmessage.Resource
	add := func(kind dnsmessage.Type, body dnsmessage.ResourceBody) {
		if kind != question.Type && kind != dnsmessage.TypeCNAME {
			return
		}
		header := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: ttl}
		found = append(found, dnsmessage.Resource{Header: header, Body: body})
	}
	for _, text := range t.addresses {
		address, err := netip.ParseAddr(text)
		switch {
		case err != nil:
		case address.Is4():
			add(dnsmessage.TypeA, &dnsmessage.AResource{A: address.As4()})
		default:
			add(dnsmessage.TypeAAAA, &dnsmessage.AAAAResource{AAAA: address.As16()})
		}
	}
	if alias, err := dnsmessage.NewName(t.alias + "."); t.alias != "" && err == nil {
		add(dnsmessage.TypeCNAME, &dnsmessage.CNAMEResource{CNAME: alias})
	}
	return found
}
