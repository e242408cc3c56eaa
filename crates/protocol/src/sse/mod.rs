//! The event stream format (`text/event-stream`) of the WHATWG HTML standard, decoded as bytes arrive.
