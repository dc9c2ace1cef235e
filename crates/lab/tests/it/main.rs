mod redis;
mod shared;
mod survivors;
