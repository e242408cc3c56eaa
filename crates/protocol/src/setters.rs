/// Defines the setters of an operation once, for the operation and for calls of it.
///
/// `setters! { Exec, exec_setters; … }` defines the functions as methods of `Exec`. It also exports the macro `exec_setters!`,
/// which defines the same methods for `Call<Exec, T>` in a crate that has a type `Call`. That type needs a function `map`, which
/// changes the operation. The macro names types without their paths, so the other crate must import them.
///
/// `setters! { RunOptions, run_options_setters, in StartRun.options; … }` defines them as methods of `RunOptions`, of the
/// operation that has it as an optional member, and of calls of that operation.
macro_rules! setters {
    ($operation:ident, $exported:ident; $($setters:tt)*) => {
        $crate::setters::setters! { @own $operation; $($setters)* }
        $crate::setters::setters! { @call $operation, $exported; $($setters)* }
    };
    ($part:ident, $exported:ident, in $operation:ident.$member:ident; $($setters:tt)*) => {
        $crate::setters::setters! { @own $part; $($setters)* }
        $crate::setters::setters! { @within $operation, $member; $($setters)* }
        $crate::setters::setters! { @call $operation, $exported; $($setters)* }
    };
    (@own $type:ident; $(
        $(#[$meta:meta])*
        pub fn $name:ident(mut $self:ident $(, $argument:ident: $argument_type:ty)* $(,)?) -> Self $body:block
    )*) => {
        impl $type {
            $(
                $(#[$meta])*
                pub fn $name(mut $self $(, $argument: $argument_type)*) -> Self $body
            )*
        }
    };
    (@within $operation:ident, $member:ident; $(
        $(#[$meta:meta])*
        pub fn $name:ident(mut $self:ident $(, $argument:ident: $argument_type:ty)* $(,)?) -> Self $body:block
    )*) => {
        impl $operation {
            $(
                $(#[$meta])*
                pub fn $name(mut self $(, $argument: $argument_type)*) -> Self {
                    self.$member = Some(self.$member.unwrap_or_default().$name($($argument),*));
                    self
                }
            )*
        }
    };
    (@call $operation:ident, $exported:ident; $(
        $(#[$meta:meta])*
        pub fn $name:ident(mut $self:ident $(, $argument:ident: $argument_type:ty)* $(,)?) -> Self $body:block
    )*) => {
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $exported {
            () => {
                impl<T> Call<$operation, T> {
                    $(
                        $(#[$meta])*
                        pub fn $name(self $(, $argument: $argument_type)*) -> Self {
                            self.map(|operation| operation.$name($($argument),*))
                        }
                    )*
                }
            };
        }
    };
}

pub(crate) use setters;
