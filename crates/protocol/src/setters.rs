/// Writes the setters of an operation once, for the operation and for calls of it.
///
/// `setters! { Exec, exec_setters; … }` makes the functions methods of `Exec`, and exports the macro `exec_setters!`, which makes
/// them methods of `Call<Exec, T>` in the crate that has such a type: one with a function `map` that changes what is called.
/// The macro names types without their paths, so that crate has them in scope.
macro_rules! setters {
    ($operation:ident, $exported:ident; $(
        $(#[$meta:meta])*
        pub fn $name:ident(mut $self:ident $(, $argument:ident: $type:ty)* $(,)?) -> Self $body:block
    )*) => {
        impl $operation {
            $(
                $(#[$meta])*
                pub fn $name(mut $self $(, $argument: $type)*) -> Self $body
            )*
        }

        #[doc(hidden)]
        #[macro_export]
        macro_rules! $exported {
            () => {
                impl<T> Call<$operation, T> {
                    $(
                        $(#[$meta])*
                        pub fn $name(self $(, $argument: $type)*) -> Self {
                            self.map(|operation| operation.$name($($argument),*))
                        }
                    )*
                }
            };
        }
    };
}

pub(crate) use setters;
