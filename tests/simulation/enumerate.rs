//! Every await of one rotation × before, after × each fault that fits the call.
