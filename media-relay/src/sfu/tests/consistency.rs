//! What holds of a relay's books after every round.

use crate::sfu::Sfu;
use crate::sfu::peer::Role;
use crate::sfu::stream::Stream;
use crate::sfu::track::Origin;

pub(super) fn check(sfu: &Sfu) {
    for (key, track) in &sfu.tracks {
        assert!(sfu.streams[track.stream].tracks.contains(&key), "a track of no stream");
        match track.origin {
            Origin::Peer(peer) => {
                let Role::Publisher(publisher) = &sfu.peers[peer].role else { panic!("a viewer's track") };
                assert!(publisher.tracks.contains(&key), "a track that nobody publishes");
            }
            Origin::Feed => assert!(sfu.streams[track.stream].feed.is_some(), "a track that nobody brings"),
        }
        let mut viewers = track.viewers.clone();
        viewers.sort_unstable();
        viewers.dedup();
        assert_eq!(viewers.len(), track.viewers.len(), "somebody watches twice");
        for (peer, index) in viewers {
            let Role::Viewer(viewer) = &sfu.peers[peer].role else { panic!("a publisher watches") };
            assert_eq!(viewer.forwarders[index].track, Some(key), "a viewer that shows something else");
        }
        assert!(track.fresh.is_empty(), "packets that nobody forwarded");
    }
    for (key, peer) in &sfu.peers {
        let stream = &sfu.streams[peer.stream];
        assert_eq!(sfu.sessions.get(&peer.session), Some(&key));
        for ufrag in &peer.ufrags {
            assert_eq!(sfu.by_ufrag.get(ufrag), Some(&key));
        }
        match &peer.role {
            Role::Publisher(publisher) => {
                assert!(stream.publishers.contains(&key));
                assert!(publisher.tracks.iter().all(|track| sfu.tracks[*track].origin == Origin::Peer(key)));
            }
            Role::Viewer(viewer) => {
                assert!(stream.viewers.contains(&key));
                for (index, forwarder) in viewer.forwarders.iter().enumerate() {
                    let Some(track) = forwarder.track else { continue };
                    assert!(sfu.tracks[track].viewers.contains(&(key, index)), "it waits for nothing");
                }
            }
        }
        assert!(sfu.agenda.has(key), "a peer that nobody looks after");
    }
    let ufrags: usize = sfu.peers.iter().map(|(_, peer)| peer.ufrags.len()).sum();
    assert_eq!((sfu.sessions.len(), sfu.by_ufrag.len()), (sfu.peers.len(), ufrags), "strays");
    for (address, key) in &sfu.by_address {
        assert!(sfu.peers[*key].addresses.contains(address), "a stray address");
    }
    let members: usize = sfu.streams.iter().map(|(_, s)| s.publishers.len() + s.viewers.len()).sum();
    assert_eq!(members, sfu.peers.len());
    assert_eq!(sfu.streams.len(), sfu.stream_names.len());
    assert_eq!(sfu.streams.iter().map(|(_, s)| s.tracks.len()).sum::<usize>(), sfu.tracks.len());
    assert!(sfu.streams.iter().all(|(_, stream)| !stream.is_empty()), "an empty stream");
    assert_eq!(sfu.agenda.len(), sfu.peers.len(), "strays in the agenda");
    for (pipe, stream) in &sfu.pipes {
        let stream = &sfu.streams[*stream];
        let is_branch = stream.branches.iter().any(|branch| branch.pipe.id == *pipe);
        let is_feed = stream.feed.as_ref().is_some_and(|feed| feed.pipe_id() == Some(*pipe));
        assert!(is_branch != is_feed, "a stray pipe");
    }
    let ends = |stream: &Stream| {
        stream.branches.len() + usize::from(stream.feed.as_ref().is_some_and(|feed| feed.pipe_id().is_some()))
    };
    assert_eq!(sfu.streams.iter().map(|(_, stream)| ends(stream)).sum::<usize>(), sfu.pipes.len());
    assert!(sfu.leaving.is_empty() && sfu.fresh.is_empty());
}

pub(super) fn is_empty(sfu: &Sfu) -> bool {
    sfu.peers.is_empty()
        && sfu.streams.is_empty()
        && sfu.tracks.is_empty()
        && sfu.by_address.is_empty()
        && sfu.pipes.is_empty()
}
