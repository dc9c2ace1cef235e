//! Quotas: a bucket is a key of its own, reckoned in a function by the clock of the Redis process that has it.

use std::sync::Arc;

use super::access::{Access, bytes_of};
use super::reply;
use crate::{Quota, QuotaLimit, Soon, Unavailable};

pub(crate) struct RedisQuota {
    access: Arc<Access>,
}

impl RedisQuota {
    pub(crate) fn new(access: Arc<Access>) -> Self {
        Self { access }
    }

    fn call(
        &self,
        function: &'static str,
        key: &str,
        amount: u64,
        limit: QuotaLimit,
    ) -> impl Future<Output = Result<u64, Unavailable>> + Send + use<> {
        let access = Arc::clone(&self.access);
        let keys = [format!("{{{}:q:{key}}}", access.keys.prefix())];
        // What is not a rate gives nothing.
        let per_second = if limit.per_second.is_finite() { limit.per_second.max(0.0) } else { 0.0 };
        let args = vec![bytes_of(limit.burst), bytes_of(per_second), bytes_of(amount)];
        async move { access.call(function, &keys, args, reply::number).await }
    }
}

impl Quota for RedisQuota {
    /// If the answer is lost, what was granted is lost with it: too little is given out, never too much.
    fn take(&self, key: &str, wanted: u64, limit: &QuotaLimit) -> Soon<Result<u64, Unavailable>> {
        Soon::later(self.call("turnpike_quota_take", key, wanted, *limit))
    }

    fn give_back(&self, key: &str, unused: u64, limit: &QuotaLimit) -> Soon<Result<(), Unavailable>> {
        let given = self.call("turnpike_quota_give_back", key, unused, *limit);
        Soon::later(async move { given.await.map(drop) })
    }
}
