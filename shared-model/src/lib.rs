//! YOLOX-nano.
