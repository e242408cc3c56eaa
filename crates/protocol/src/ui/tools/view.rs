use crate::ui::RawJson;
use crate::ui::message::Member;

/// Defines views: structs with required and optional members, and `other` for the rest.
macro_rules! views {
    ($(
        $(#[$doc:meta])*
        $name:ident {
            $($(#[$required_doc:meta])* $required:ident: $required_type:ty = $required_name:literal,)*
            ;
            $($(#[$optional_doc:meta])* $optional:ident: $optional_type:ty = $optional_name:literal,)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$required_doc])* pub $required: $required_type,)*
            $($(#[$optional_doc])* pub $optional: Option<$optional_type>,)*
            /// Every other member, and members above whose values have another type.
            pub other: Members,
        }

        impl $name {
            pub(super) fn from_members(mut members: Members) -> Option<Self> {
                // Check all required members before any is removed.
                $(<$required_type as Member>::read(members.get($required_name)?)?;)*
                Some(Self {
                    $($required: members.take($required_name)?,)*
                    $($optional: members.take($optional_name),)*
                    other: members,
                })
            }
        }

        impl Member for $name {
            fn read(raw: &RawJson<'static>) -> Option<Self> {
                Self::from_members(Members::from_json(raw.get())?)
            }
        }

        impl Object for $name {
            fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
                $(fields.field($required_name, &self.$required)?;)*
                $(fields.optional($optional_name, self.$optional.as_ref())?;)*
                Ok(())
            }

            fn other(&self) -> &Members {
                &self.other
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                write_object(self, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let members = Members::deserialize(deserializer)?;
                let misfit = concat!("not the JSON of `", stringify!($name), "`");
                Self::from_members(members).ok_or_else(|| D::Error::custom(misfit))
            }
        }
    )*};
}

pub(super) use views;

/// Reads only whole numbers in the plain notation: `5.0` would not be written back unchanged.
impl Member for u64 {
    fn read(raw: &RawJson<'static>) -> Option<Self> {
        raw.deserialize().ok()
    }
}

/// As for [`u64`].
impl Member for i64 {
    fn read(raw: &RawJson<'static>) -> Option<Self> {
        raw.deserialize().ok()
    }
}

/// Reads all elements, or none.
impl<T: Member> Member for Vec<T> {
    fn read(raw: &RawJson<'static>) -> Option<Self> {
        let items: Vec<RawJson<'static>> = raw.deserialize().ok()?;
        items.iter().map(T::read).collect()
    }
}
